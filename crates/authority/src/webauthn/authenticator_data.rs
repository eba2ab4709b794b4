//! What the authenticator signs (§6.1): for whom, whether the user was there, how often the key was used, and the key itself
//! when it is new.

use super::{
    Unsound,
    cbor::{Item, Reader},
    key::Key,
};

const USER_PRESENT: u8 = 1 << 0;
const USER_VERIFIED: u8 = 1 << 2;
const ATTESTED: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;
/// Longest id of a credential, in bytes (§7.1 step 17 of later levels; authenticators write less).
const CREDENTIAL_ID_BYTES_MAX: u16 = 1023;
/// Bytes that say of which make the authenticator is. Not looked at.
const AAGUID_BYTES: usize = 16;

pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: [u8; 32],
    pub(super) user_present: bool,
    pub(super) user_verified: bool,
    pub(super) sign_count: u32,
    pub(super) attested: Option<Attested<'a>>,
}

/// A new key (§6.5.1).
pub(super) struct Attested<'a> {
    pub(super) credential_id: &'a [u8],
    pub(super) key: Key,
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Unsound> {
        let mut reader = Reader(bytes);
        let rp_id_hash = reader.array()?;
        let [flags] = reader.array()?;
        let sign_count = u32::from_be_bytes(reader.array()?);
        let attested = if flags & ATTESTED == 0 { None } else { Some(Attested::read(&mut reader)?) };
        // None was asked for; some authenticators say something all the same. It is read to its end and not used.
        if flags & EXTENSIONS != 0 && !matches!(reader.item()?, Item::Map(_)) {
            return Err(Unsound("the extensions are not a map"));
        }
        reader.end()?;
        let has = |flag| flags & flag != 0;
        Ok(Self {
            rp_id_hash,
            user_present: has(USER_PRESENT),
            user_verified: has(USER_VERIFIED),
            sign_count,
            attested,
        })
    }
}

impl<'a> Attested<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Unsound> {
        reader.take(AAGUID_BYTES)?;
        let length = u16::from_be_bytes(reader.array()?);
        if length == 0 || length > CREDENTIAL_ID_BYTES_MAX {
            return Err(Unsound("the id of the credential is too long, or none"));
        }
        let credential_id = reader.take(usize::from(length))?;
        Ok(Self { credential_id, key: Key::read(&reader.item()?)? })
    }
}
