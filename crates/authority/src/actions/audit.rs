//! Exporting the log. Reading it out is itself in it.

use portcullis_kernel::deed::AuditExport;
use serde::{Deserialize, Serialize};

use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
};

/// An export that may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The log's size when it was asked; the export ends there.
    pub size: i64,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for AuditExport {
    type Cargo = ();
    type Done = Exported;

    fn prepare(&self, _cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Exported>, Fault> {
        permit.spend(|w, _, _| Ok(Exported { size: w.cx().head.size }))
    }
}
