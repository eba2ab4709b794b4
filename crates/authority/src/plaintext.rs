//! The one file of the authority where plaintext is looked at: to seal it, to fingerprint it, to pack it into a plan.

use portcullis_kernel::{
    deed::SecretScope,
    name::SecretKey,
    secret::{SecretValue, ValueShape},
};
use zeroize::Zeroizing;

use crate::{
    core::{Core, Keys},
    refusal::Fault,
    vault::{Place, Sealed, VaultError, looks_like_credential},
};

/// Keyed fingerprint of a value under its key: the platform sees equality, nobody else learns anything (unlike the bare
/// hash of the predecessor, which confirmed guesses).
pub(crate) fn digest(keys: &Keys, scope: SecretScope, key: &SecretKey, value: &SecretValue) -> [u8; 32] {
    keys.digest.digest(
        "secret-value",
        &[scope.as_text().as_bytes(), key.as_str().as_bytes(), value.expose_secret().as_bytes()],
    )
}

/// Keyed token over a set of keys and values: equal tokens, equal content, whatever scope or version it came from.
pub(crate) fn content_token<'a>(
    keys: &Keys,
    workspace: portcullis_kernel::id::WorkspaceId,
    secrets: impl Iterator<Item = (&'a str, &'a SecretValue)>,
) -> String {
    let own = workspace.to_string();
    let mut parts: Vec<&[u8]> = vec![own.as_bytes()];
    for (key, value) in secrets {
        parts.push(key.as_bytes());
        parts.push(value.expose_secret().as_bytes());
    }
    portcullis_kernel::audit::hex::encode(&keys.digest.digest("bundle", &parts)[..16])
}

/// Teaches a redactor a value.
pub(crate) fn learn(redactor: &mut portcullis_kernel::redact::Redactor, key: &str, value: &SecretValue) {
    redactor.add(key, value.expose_secret());
}

/// Keyed digest of a message as it came: whether the same id brings the same text, without keeping the text.
pub(crate) fn message_digest(keys: &Keys, text: &str) -> String {
    portcullis_kernel::audit::hex::encode(&keys.digest.digest("message", &[text.as_bytes()]))
}

/// The conversation of a message whose sender named none: the same for the same message, and not to be guessed.
pub(crate) fn context_id(keys: &Keys, sender: &str, workspace: &str, message_id: &str) -> uuid::Uuid {
    let digest = keys.digest.digest("context", &[sender.as_bytes(), workspace.as_bytes(), message_id.as_bytes()]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Keyed fingerprint of a request: who, what, with which values.
pub(crate) fn request_digest(keys: &Keys, principal: &str, deed_json: &str, values: &[&SecretValue]) -> [u8; 32] {
    let mut parts: Vec<&[u8]> = vec![principal.as_bytes(), deed_json.as_bytes()];
    parts.extend(values.iter().map(|value| value.expose_secret().as_bytes()));
    keys.digest.digest("request", &parts)
}

/// Runs `work` with the place of one version of a secret.
fn at<T>(core: &Core, scope: &str, key: &str, version: i64, work: impl FnOnce(&Place<'_>) -> T) -> T {
    work(&Place::secret(&core.organisation.to_string(), scope, key, version))
}

/// Seals a value to its place.
pub(crate) fn seal(
    core: &Core,
    scope: SecretScope,
    key: &SecretKey,
    version: i64,
    value: &SecretValue,
) -> Result<Sealed, VaultError> {
    let keys = core.keys();
    at(core, &scope.as_text(), key.as_str(), version, |place| keys.ring.seal(place, value.expose_secret().as_bytes()))
}

/// Opens a value from its place.
pub(crate) fn open(
    core: &Core,
    scope: &str,
    key: &str,
    version: i64,
    sealed: &Sealed,
) -> Result<SecretValue, VaultError> {
    let keys = core.keys();
    into_value(&at(core, scope, key, version, |place| keys.ring.open(place, sealed))?)
}

/// The same value under the sealing key.
pub(crate) fn reseal(core: &Core, scope: &str, key: &str, version: i64, sealed: &Sealed) -> Result<Sealed, VaultError> {
    let keys = core.keys();
    at(core, scope, key, version, |place| keys.ring.seal(place, &keys.ring.open(place, sealed)?))
}

fn into_value(bytes: &[u8]) -> Result<SecretValue, VaultError> {
    let text = std::str::from_utf8(bytes).map_err(|_| VaultError::Malformed("it is not a value"))?;
    SecretValue::new(text.to_owned()).map_err(|_| VaultError::Malformed("it is not a value"))
}

/// Seals the values of a plan to the approval, in order.
pub(crate) fn seal_plan(core: &Core, approval: &str, values: &[&SecretValue]) -> Result<Option<Sealed>, VaultError> {
    if values.is_empty() {
        return Ok(None);
    }
    let mut packed = Zeroizing::new(Vec::new());
    for value in values {
        let bytes = value.expose_secret().as_bytes();
        packed.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        packed.extend_from_slice(bytes);
    }
    core.keys().ring.seal(&Place::approval(&core.organisation.to_string(), approval), &packed).map(Some)
}

/// Opens the values of a plan.
pub(crate) fn open_plan(core: &Core, approval: &str, sealed: Option<&Sealed>) -> Result<Vec<SecretValue>, VaultError> {
    let Some(sealed) = sealed else { return Ok(Vec::new()) };
    let packed = core.keys().ring.open(&Place::approval(&core.organisation.to_string(), approval), sealed)?;
    let mut rest = packed.as_slice();
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_at_checked(8).ok_or(VaultError::Malformed("it is not a value"))?;
        let length =
            length.try_into().map(u64::from_be_bytes).map_err(|_| VaultError::Malformed("it is not a value"))?;
        let length = usize::try_from(length).map_err(|_| VaultError::Malformed("it is not a value"))?;
        let (bytes, after) = after.split_at_checked(length).ok_or(VaultError::Malformed("it is not a value"))?;
        values.push(into_value(bytes)?);
        rest = after;
    }
    Ok(values)
}

/// The shapes a reviewer sees.
pub(crate) fn shapes(values: &[&SecretValue]) -> Vec<ValueShape> {
    values.iter().map(|value| value.shape()).collect()
}

/// Asks ahead for what [`refuse_own_credential`] looks for first.
pub(crate) fn own_credential_ahead(conn: &mut crate::db::Conn, value: &SecretValue) -> Result<(), crate::db::DbError> {
    let hash = crate::vault::TokenHash::of_text(value.expose_secret().trim());
    crate::tables::credentials::find_by_hash_ahead(conn, hash.0.as_slice())
}

/// Refuses a Portcullis credential that somebody pasted as a secret: minted tokens are delivered by the platform. The
/// admin token may have any form, so the text is also compared with what its hash says.
pub(crate) fn refuse_own_credential(cx: &mut crate::gate::Cx<'_>, value: &SecretValue) -> Result<(), Fault> {
    use portcullis_kernel::refusal::Code;
    let text = value.expose_secret();
    let mut known = |candidate: &str| {
        let hash = crate::vault::TokenHash::of_text(candidate);
        crate::tables::credentials::find_by_hash(cx.conn, hash.0.as_slice()).map(|row| row.is_some())
    };
    let whole = text.trim();
    // The last word too, where there are several: a header that was copied whole ends with the token.
    let last_word = whole.split_whitespace().next_back().filter(|word| *word != whole);
    let found = looks_like_credential(text) || known(whole)? || last_word.map_or(Ok(false), known)?;
    if found { Err(Fault::code(Code::OwnCredentialAsSecret)) } else { Ok(()) }
}

/// A minted token's plaintext as the value of the secret it is delivered to.
pub(crate) fn token_value(token: &crate::vault::PlainToken) -> Result<SecretValue, VaultError> {
    SecretValue::new(token.expose().to_owned()).map_err(|_| VaultError::Malformed("it is not a value"))
}
