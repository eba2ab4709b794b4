//! What a run is given in secret, as secrets of the swarm: one for each file, one for the token, one for the restart context,
//! and as many as its variables need.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use portcullis_kernel::secret::Environment;
use zeroize::Zeroizing;

use crate::runtime::{
    RuntimeFault,
    container::{
        place::Place,
        spec::{RUN, SECRETS},
    },
    container_environment::{self, SWARM_SECRET_BYTES_MAX},
};

/// A secret that is to be made.
pub(super) struct Parcel {
    /// Where it is inside the container.
    pub target: String,
    /// As the engine takes it.
    pub content: Zeroizing<String>,
    /// A shell reads it to have its variables.
    pub is_script: bool,
}

/// A secret that was made. Nothing of its content.
pub(super) struct Delivered {
    /// The swarm's id of it.
    pub id: String,
    /// Its name in the swarm.
    pub name: String,
    /// Where it is inside the container.
    pub target: String,
    /// A shell reads it to have its variables.
    pub is_script: bool,
}

/// Everything of a run.
pub(super) fn parcels(
    public: &BTreeMap<String, String>,
    environment: &Environment,
    context: &str,
) -> Result<Vec<Parcel>, RuntimeFault> {
    if context.len() > SWARM_SECRET_BYTES_MAX {
        return Err(RuntimeFault::Permanent("the restart context is larger than a secret of the swarm".to_owned()));
    }
    let plain = |target: String, content| Parcel { target, content, is_script: false };
    let mut all = vec![plain(format!("{RUN}/{}", Place::CONTEXT), BASE64_STANDARD.encode(context).into())];
    if let Some(token) = &environment.token {
        all.push(plain(format!("{SECRETS}/{}", Place::TOKEN), container_environment::encoded(token)));
    }
    for (index, content) in container_environment::scripts(public, &environment.variables)?.into_iter().enumerate() {
        all.push(Parcel { target: format!("{SECRETS}/variables.{index}"), content, is_script: true });
    }
    for (name, value) in &environment.files {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(RuntimeFault::Permanent("the name of a secret cannot be one of a file".to_owned()));
        }
        let target = format!("{SECRETS}/{}/{name}", Place::FILES);
        all.push(plain(target, container_environment::encoded(value)));
    }
    Ok(all)
}
