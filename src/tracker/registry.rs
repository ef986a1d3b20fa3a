//! [`Registry`]: the agents that a tracker knows.

use std::sync::{Arc, PoisonError, RwLock};

use crate::agent::{Agent, InvalidName, check_name};
use crate::status::Ledger;
use crate::telemetry::AgentTelemetry;

/// The names that a store has for itself.
pub(crate) trait ReservedNames: Send + Sync {
    /// Whether neither an agent nor an attribute may have this name.
    fn is_reserved(&self, attribute: &str) -> bool;
    /// Whether no agent may have this name.
    fn is_index_key(&self, attribute: &str) -> bool;
}

/// An agent with the telemetry of its calls.
#[derive(Debug)]
pub(crate) struct RegisteredAgent {
    agent: Agent,
    telemetry: AgentTelemetry,
}

impl RegisteredAgent {
    pub(crate) fn agent(&self) -> &Agent {
        &self.agent
    }

    pub(crate) fn telemetry(&self) -> &AgentTelemetry {
        &self.telemetry
    }
}

/// The agents that were declared: every session shows them, and each has metrics of its own.
pub(crate) struct Registry {
    reserved: Arc<dyn ReservedNames>,
    agents: RwLock<Vec<Arc<RegisteredAgent>>>,
}

impl Registry {
    pub(super) fn new(reserved: Arc<dyn ReservedNames>) -> Self {
        Self { reserved, agents: RwLock::default() }
    }

    /// Declares an agent, so that every new session shows it.
    pub(crate) fn declare(&self, agent: Agent) -> Result<Arc<RegisteredAgent>, InvalidName> {
        self.check_agent(agent.name())?;
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        if agents.iter().any(|known| known.agent.name() == agent.name()) {
            return Err(InvalidName::Duplicate(agent.name().to_owned()));
        }
        let telemetry = AgentTelemetry::new(&agent);
        let registered = Arc::new(RegisteredAgent { agent, telemetry });
        agents.push(Arc::clone(&registered));
        Ok(registered)
    }

    /// The agent of that name, which is declared if it was not yet.
    pub(crate) fn get_or_declare(&self, name: &str) -> Result<Arc<RegisteredAgent>, InvalidName> {
        match self.get(name).map_or_else(|| self.declare(Agent::new(name)), Ok) {
            // Another thread was faster.
            Err(InvalidName::Duplicate(_)) => self.get_or_declare(name),
            agent => agent,
        }
    }

    /// The agent as it was declared, or else as a request or a report brings it. Such a one is
    /// not declared by that, and shares its metrics with all others like it: there may be any
    /// number of them.
    pub(crate) fn resolve(&self, agent: &Agent) -> Result<Arc<RegisteredAgent>, InvalidName> {
        if let Some(declared) = self.get(agent.name()) {
            return Ok(declared);
        }
        self.check_agent(agent.name())?;
        let (agent, telemetry) = (agent.clone(), AgentTelemetry::of_undeclared());
        Ok(Arc::new(RegisteredAgent { agent, telemetry }))
    }

    fn get(&self, name: &str) -> Option<Arc<RegisteredAgent>> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        agents.iter().find(|known| known.agent.name() == name).cloned()
    }

    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds the declared agents to a session, as pending.
    pub(super) fn add_declared(&self, ledger: &mut Ledger) {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner).clone();
        for RegisteredAgent { agent, .. } in agents.iter().map(|agent| &**agent) {
            ledger.slot(agent.shared_name(), agent.activities());
        }
    }

    /// Whether an attribute of a workflow may have this name.
    pub(crate) fn check_attribute(&self, name: &str) -> Result<(), InvalidName> {
        self.check_name(name)?;
        if self.is_declared(name) {
            return Err(InvalidName::Duplicate(name.to_owned()));
        }
        Ok(())
    }

    /// Whether an agent may have this name.
    fn check_agent(&self, name: &str) -> Result<(), InvalidName> {
        self.check_name(name)?;
        if self.reserved.is_index_key(name) {
            return Err(InvalidName::ReservedByStore(name.to_owned()));
        }
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), InvalidName> {
        check_name(name)?;
        if self.reserved.is_reserved(name) {
            return Err(InvalidName::ReservedByStore(name.to_owned()));
        }
        Ok(())
    }
}
