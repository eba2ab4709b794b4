//! The console's files. They are the same for everybody: what a person sees, the console asks for like any other client,
//! with the person's own session. It has no door of its own, so there is nothing here to decide.

use std::{borrow::Cow, collections::BTreeMap, io::Write, sync::OnceLock};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use crate::{call::Call, operation::Operation};

/// What the console may do: load and ask its own origin, nothing else. No script, style or form of another origin, none
/// written into the page, and no text that becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Files below this size are not worth packing, in bytes.
const PACK_BYTES_MIN: usize = 512;

#[derive(RustEmbed)]
#[folder = "../../console"]
struct Files;

pub(crate) fn operations() -> Vec<Operation> {
    let page = Operation::new("console", Method::GET, "/console/{*page}", "A page of the console", page).public();
    vec![
        Operation::new("console_root", Method::GET, "/", "To the console", root).public().done(&[303]),
        page.also_at("console_home", Method::GET, "/console"),
        page.also_at("console_claim", Method::GET, "/claim"),
        page.also_at("console_invite", Method::GET, "/invite"),
        page,
        Operation::new("console_asset", Method::GET, "/console/assets/{build}/{*file}", "A file of the console", asset)
            .public(),
    ]
}

/// A file, ready to be sent.
struct Asset {
    kind: HeaderValue,
    plain: Bytes,
    packed: Option<Bytes>,
}

/// All files, under a name that changes with any of them: browsers keep them for ever and never an old one.
struct Bundle {
    build: String,
    page: Bytes,
    files: BTreeMap<String, Asset>,
}

fn bundle() -> &'static Bundle {
    static BUNDLE: OnceLock<Bundle> = OnceLock::new();
    BUNDLE.get_or_init(Bundle::read)
}

impl Bundle {
    fn read() -> Self {
        let mut names: Vec<Cow<'static, str>> = Files::iter().filter(|name| kind(name).is_some()).collect();
        names.sort_unstable();
        let mut digest = Sha256::new();
        let mut files = BTreeMap::new();
        for name in names {
            let (Some(file), Some(kind)) = (Files::get(&name), kind(&name)) else { continue };
            digest.update(name.as_bytes());
            digest.update(file.metadata.sha256_hash());
            let plain = Bytes::from(file.data.into_owned());
            let packed = (plain.len() >= PACK_BYTES_MIN).then(|| packed(&plain)).flatten();
            files.insert(name.into_owned(), Asset { kind: HeaderValue::from_static(kind), plain, packed });
        }
        let build: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let page = files.remove("index.html").map(|asset| asset.plain).unwrap_or_default();
        let scripts = files.keys().filter(|name| name.ends_with(".js") && *name != "theme.js");
        let ahead: String = scripts
            .map(|name| format!("<link rel=\"modulepreload\" href=\"/console/assets/{build}/{name}\">\n"))
            .collect();
        let page = String::from_utf8_lossy(&page).replace("{ahead}", ahead.trim_end()).replace("{build}", &build);
        Self { build, page: Bytes::from(page), files }
    }
}

/// The media type of what a browser is given; other files of the folder are not.
fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit('.').next()? {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

fn packed(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

async fn root(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/console"));
    Ok(response)
}

/// Every page is the same document: which one is meant, it reads from its address.
async fn page(_call: Call) -> Result<Response, Refusal> {
    let mut response = Response::new(Body::from(bundle().page.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

async fn asset(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let (build, name): (String, String) = (call.path("build")?, call.path("file")?);
    let bundle = bundle();
    let asset = bundle.files.get(&name).filter(|_| build == bundle.build);
    let asset = asset.ok_or_else(|| Refusal::new(Code::NotFound))?;
    let takes_gzip = call.header("accept-encoding")?.is_some_and(|text| text.contains("gzip"));
    let packed = asset.packed.as_ref().filter(|_| takes_gzip);
    let mut response = Response::new(Body::from(packed.unwrap_or(&asset.plain).clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, asset.kind.clone());
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if packed.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
