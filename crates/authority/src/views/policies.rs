//! The rules, as people read them.

use std::collections::BTreeMap;

use portcullis_kernel::policy::Rule;

use super::human;
use crate::{
    caller::Caller,
    core::Core,
    db::Conn,
    refusal::Refusal,
    tables::policies::{self, PolicySource, PolicyView},
};

fn shipped(rule: &Rule) -> PolicyView {
    PolicyView {
        id: rule.id.clone(),
        name: rule.id.clone(),
        text: rule.text.clone(),
        shipped: true,
        source: PolicySource::Shipped,
        annotations: rule.annotations.clone(),
    }
}

pub(crate) fn policy_list(conn: &mut Conn, core: &Core, caller: &Caller) -> Result<Vec<PolicyView>, Refusal> {
    human(caller)?;
    let mut list: Vec<_> = core.policy.rules().iter().map(shipped).collect();
    list.extend(policies::list(conn)?);
    Ok(list)
}

/// Texts of the rules that a decision names, joined by commas. What operators added is shown to humans only, as in the
/// list; a name that is no rule's (`silence`, `fact_unavailable`) has no text.
pub(crate) fn rule_texts(
    conn: &mut Conn,
    core: &Core,
    caller: &Caller,
    named: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut texts = BTreeMap::new();
    for id in named.split(',').filter(|id| !id.is_empty()) {
        let shipped = core.policy.rules().iter().find(|rule| rule.id == id).map(|rule| rule.text.clone());
        let text = match shipped {
            None if human(caller).is_ok() => policies::text(conn, id)?,
            known => known,
        };
        texts.extend(text.map(|text| (id.to_owned(), text)));
    }
    Ok(texts)
}
