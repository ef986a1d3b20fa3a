//! What the table must show of the calls of an agent, one by one.

use std::collections::BTreeMap;

use tower_agent_status::status::{AgentState, AgentStatus};

use crate::model::{Agent, Observed};

/// One call that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tried {
    pub(crate) failed: bool,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl Tried {
    fn may_be_part_of(&self, known: &Self) -> bool {
        self.failed == known.failed && self.input <= known.input && self.output <= known.output
    }
}

/// The calls of each agent that one process has seen the end of.
pub(crate) type AllTried = BTreeMap<Agent, Vec<Tried>>;

/// What the processes that have written the item had seen before its run, and since.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    carried: BTreeMap<usize, AllTried>,
    before_run: BTreeMap<usize, AllTried>,
}

impl Attempts {
    /// A process has begun a new run, and had seen this before.
    pub(crate) fn begin_run(&mut self, process: usize, before: &AllTried) {
        self.before_run = self.carried.clone();
        self.before_run.insert(process, before.clone());
    }

    /// A write of a process was applied that carried what it had seen.
    pub(crate) fn carry(&mut self, process: usize, seen: &AllTried) {
        self.carried.insert(process, seen.clone());
    }

    /// Checks what an item shows of an agent. One that was `filled_up` may lack any: they are left out
    /// first. Then another process reads the only call off the agent, whose tokens are those of this run.
    /// If the call began in the run before, it has used more.
    pub(crate) fn check(
        &self,
        name: &str,
        agent: &AgentStatus,
        filled_up: bool,
    ) -> Result<(), String> {
        let mut all = Vec::new();
        for (process, seen) in &self.carried {
            let before = self.before_run.get(process).and_then(|before| before.get(name));
            let calls = seen.get(name).into_iter().flatten();
            all.extend(calls.skip(before.map_or(0, Vec::len)).copied());
        }
        let mut shown: Vec<Tried> = agent
            .attempts()
            .map(|attempt| {
                let usage = attempt.token_usage.unwrap_or_default();
                Tried {
                    failed: attempt.state() == AgentState::Error,
                    input: usage.input_tokens.unwrap_or(0),
                    output: usage.output_tokens.unwrap_or(0),
                }
            })
            .collect();
        all.sort_unstable();
        shown.sort_unstable();
        let expected = match all.len() {
            0 => 0,
            1 if !all[0].failed && shown.is_empty() => 0,
            calls => calls.min(8),
        };
        // A call that no item has had when another process begins a run belongs to that. By then it may have
        // left the list of the last eight, since they are ordered by the clocks of several processes.
        let ever: usize =
            self.carried.values().filter_map(|seen| seen.get(name)).map(Vec::len).sum();
        let may_lack = filled_up || !self.before_run.is_empty() && ever > 8;
        let mut rest = all.clone();
        let mut unknown = shown.clone();
        unknown.retain(|call| {
            let at = rest.iter().position(|known| known == call);
            at.map(|at| rest.swap_remove(at)).is_none()
        });
        let are_known = match &*unknown {
            [] => true,
            [call] => filled_up && rest.iter().any(|known| call.may_be_part_of(known)),
            _ => false,
        };
        let is_complete = shown.len() == expected || may_lack && shown.len() < expected;
        if !is_complete || !are_known {
            return Err(format!("{name} has the attempts {shown:?} of {all:?}: {agent:?}"));
        }
        Ok(())
    }
}

/// The prices of the models in a simulation, in LiteLLM's format.
pub(crate) const PRICES: &str = r#"{
    "cheap": { "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07 },
    "dear": { "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05 }
}"#;

/// The models that answer; the last one has no price.
pub(crate) const MODELS: [Option<&str>; 4] = [Some("cheap"), Some("dear"), Some("new"), None];

/// Adds what a call has cost, whose response has named this model, and reported these tokens.
pub(crate) fn price(observed: &mut Observed, model: Option<&str>, usage: Option<(u64, u64)>) {
    let prices = match model {
        Some("cheap") => Some((150_000_000, 600_000_000)),
        Some("dear") => Some((3_000_000_000, 15_000_000_000)),
        _ => None,
    };
    match (prices, usage) {
        (Some((of_input, of_output)), Some((input, output))) => {
            observed.femto_usd += of_input * u128::from(input) + of_output * u128::from(output);
        }
        (_, Some(_)) => observed.unpriced += 1,
        // The model has answered, and not said what it used.
        (_, None) if model.is_some() => observed.unpriced += 1,
        (_, None) => {}
    }
}
