//! A request to a route that did not come over the wire: the same handler, so the same decision and the same record.

use std::net::IpAddr;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use portcullis_authority::{Caller, Meta, Refusal};
use portcullis_kernel::refusal::Code;
use serde_json::{Map, Value};

use crate::{app::App, call::Call, operation::Operation};

/// Largest answer of a route that is passed on, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The request.
pub(crate) struct Inner {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    pub(crate) path: Vec<(String, String)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Map<String, Value>>,
    pub(crate) meta: Meta,
    pub(crate) peer: IpAddr,
}

impl Inner {
    /// Runs the handler as the caller; returns the status and the body, as JSON.
    pub(crate) async fn send(self, operation: &Operation) -> Result<(StatusCode, Value), Refusal> {
        let mut headers = HeaderMap::new();
        let mut body = Bytes::new();
        if let Some(members) = self.body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            body = Value::Object(members).to_string().into();
        }
        let Self { app, caller, path, query, meta, peer, .. } = self;
        let call = Call { app, caller: Some(caller), path, query, headers, body, meta, peer };
        read((operation.handler)(call).await?).await
    }
}

async fn read(response: Response) -> Result<(StatusCode, Value), Refusal> {
    let status = response.status();
    let unreadable = || Refusal::new(Code::Internal);
    let bytes = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
    let bytes = bytes.map_err(|error| unreadable().internal(error))?;
    let body = serde_json::from_slice(&bytes).map_err(|error| unreadable().internal(error))?;
    Ok((status, body))
}
