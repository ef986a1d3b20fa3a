//! How the entry of a model is found.

use std::borrow::Cow;

use super::Prices;
use super::entry::Entry;
use super::names::{Form, forms, without_date};
use super::providers::Provider;

impl Prices {
    /// Returns the name of the entry that has the prices of a model, or `None` if no entry has.
    ///
    /// `models` are the names that a response and its request have for the model, the most exact first,
    /// and `provider` is who served it. The [module's docs](super#names-of-models) list the steps.
    #[must_use]
    pub fn entry_name(&self, models: &[&str], provider: Option<&str>) -> Option<&str> {
        self.find(models, provider).map(|(name, _)| name)
    }

    pub(super) fn find(&self, models: &[&str], provider: Option<&str>) -> Option<(&str, &Entry)> {
        // A provider that is not known may still be one of the list's own names.
        let own = provider.map(str::to_ascii_lowercase).map(|name| name.replace('-', "_"));
        let own = own.as_slice().first().map_or("", String::as_str);
        let other = Provider { prefixes: &[own], owner: own };
        let provider = match provider {
            None | Some("") => None,
            Some(name) => Some(Provider::known(name).unwrap_or(other)),
        };
        let models: Vec<_> = models.iter().map(|model| decoded(model.trim())).collect();
        let models: Vec<_> = models.iter().map(|model| (&**model, forms(model))).collect();
        let named = models.iter().find_map(|(model, _)| self.exact(model, provider));
        named
            .or_else(|| self.first(&models, |form| self.of_provider(form, form.text, provider)))
            .or_else(|| self.first(&models, |form| self.entry(form.text)))
            .or_else(|| {
                self.first(&models, |form| {
                    self.of_provider(form, without_date(form.text)?, provider)
                })
            })
            .or_else(|| self.first(&models, |form| self.entry(without_date(form.text)?)))
    }

    /// The entry of the name as it is: at the provider, or else if the name itself says who serves the
    /// model.
    fn exact(&self, model: &str, provider: Option<Provider<'_>>) -> Option<(&str, &Entry)> {
        let Some(provider) = provider else { return self.entry(model) };
        let at_provider = self.at(provider, model, None);
        at_provider.or_else(|| self.entry(model).filter(|(name, _)| name.contains('/')))
    }

    /// The entry of a spelling at the provider that the call or the name tells.
    fn of_provider(
        &self,
        form: &Form<'_>,
        text: &str,
        provider: Option<Provider<'_>>,
    ) -> Option<(&str, &Entry)> {
        let named = form.provider.map(|known| known as Provider<'_>);
        let providers = [provider, named].into_iter().flatten();
        providers.into_iter().find_map(|provider| self.at(provider, text, form.region))
    }

    fn at(
        &self,
        provider: Provider<'_>,
        text: &str,
        region: Option<&str>,
    ) -> Option<(&str, &Entry)> {
        let prefixed = |middle: &str| {
            provider
                .prefixes
                .iter()
                .find_map(|prefix| self.entry(&format!("{prefix}/{middle}{text}")))
        };
        let has_prefix = provider
            .prefixes
            .iter()
            .any(|prefix| text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')));
        let whole = if has_prefix { self.entry(text) } else { None };
        whole
            .or_else(|| region.and_then(|region| prefixed(&format!("{region}/"))))
            .or_else(|| prefixed(""))
            .or_else(|| self.entry(text).filter(|(_, entry)| entry.is_from(provider.owner)))
    }

    fn first<'a>(
        &'a self,
        models: &[(&str, Vec<Form<'_>>)],
        entry: impl Fn(&Form<'_>) -> Option<(&'a str, &'a Entry)>,
    ) -> Option<(&'a str, &'a Entry)> {
        models.iter().flat_map(|(_, forms)| forms).find_map(entry)
    }
}

/// A name without the escapes of a path, as in `anthropic.claude-v2%3A1`.
fn decoded(name: &str) -> Cow<'_, str> {
    let Some((first, rest)) = name.split_once('%') else { return name.into() };
    let mut text = first.to_owned();
    for part in rest.split('%') {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte.filter(u8::is_ascii_graphic), part.get(2..)) {
            (Some(byte), Some(rest)) => {
                text.push(char::from(byte));
                text.push_str(rest);
            }
            // The name of no model.
            _ => return name.into(),
        }
    }
    text.into()
}
