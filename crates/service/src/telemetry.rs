//! Logs and metrics. Field names are here in one place; a value is in none of them.

use std::{io::Write, sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use portcullis_authority::{Authority, Refusal};
use portcullis_kernel::refusal::Code;

use crate::log_pipe::{self, Pipe};

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The metrics of this process. There is one recorder a process, however many applications a test starts.
#[derive(Clone)]
pub(crate) struct Metrics(Option<PrometheusHandle>);

/// Installs the recorder once.
pub(crate) fn metrics() -> Metrics {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        Some(handle)
    });
    Metrics(handle.clone())
}

impl Metrics {
    /// Counts a request.
    pub(crate) fn request(&self, operation: &'static str, status: u16, code: Option<Code>, elapsed: Duration) {
        metrics::counter!("portcullis_requests_total", "operation" => operation, "status" => status.to_string())
            .increment(1);
        metrics::histogram!("portcullis_request_seconds", "operation" => operation).record(elapsed.as_secs_f64());
        if let Some(code) = code {
            metrics::counter!("portcullis_refusals_total", "code" => code.as_str()).increment(1);
        }
    }

    /// Counts a call of a tool.
    pub(crate) fn tool(&self, tool: &'static str, code: Option<Code>, elapsed: Duration) {
        let outcome = if code.is_some() { "refused" } else { "answered" };
        metrics::counter!("portcullis_tool_calls_total", "tool" => tool, "outcome" => outcome).increment(1);
        metrics::histogram!("portcullis_tool_seconds", "tool" => tool).record(elapsed.as_secs_f64());
        if let Some(code) = code {
            metrics::counter!("portcullis_refusals_total", "code" => code.as_str()).increment(1);
        }
    }

    /// Notes of a refusal what its caller is not told, and counts one that the store could not take into the log.
    pub(crate) fn note(&self, request_id: &str, operation: &str, refusal: &Refusal) {
        if refusal.code.status() >= 500 || refusal.internal.is_some() {
            tracing::warn!(request_id, operation, code = %refusal.code, detail = refusal.internal.as_deref().unwrap_or_default(), "refused for an internal reason");
        }
        if refusal.audit_id.is_none() && refusal.code.status() == 403 {
            metrics::counter!("portcullis_refusals_without_audit_event_total").increment(1);
        }
    }

    /// Sums up what was measured since the last time. The recorder keeps every single latency until somebody asks for the
    /// page or calls this; without it a server that nobody scrapes grows by 24 bytes a request.
    pub(crate) fn sum_up(&self) {
        if let Some(handle) = &self.0 {
            handle.run_upkeep();
        }
    }

    /// The Prometheus page.
    pub(crate) fn render(&self, authority: &Authority, waits: usize) -> String {
        let stats = authority.stats();
        metrics::gauge!("portcullis_writer_queue").set(stats.writer.queued as f64);
        metrics::counter!("portcullis_writer_batches_total").absolute(stats.writer.batches);
        metrics::counter!("portcullis_writer_jobs_total").absolute(stats.writer.jobs);
        metrics::counter!("portcullis_writer_failed_commits_total").absolute(stats.writer.failed_commits);
        metrics::counter!("portcullis_writer_panics_total").absolute(stats.writer.panics);
        metrics::counter!("portcullis_writer_statements_total").absolute(stats.writer.statements);
        metrics::counter!("portcullis_writer_waits_total").absolute(stats.writer.waits);
        metrics::gauge!("portcullis_event_position").set(stats.event_id as f64);
        metrics::counter!("portcullis_log_lines_dropped_total").absolute(log_pipe::dropped());
        let page = self.0.as_ref().map(PrometheusHandle::render).unwrap_or_default();
        // Of this application, not of the process: written down here, not through the recorder that all share.
        format!("{page}# TYPE portcullis_waits gauge\nportcullis_waits {waits}\n")
    }
}

/// Starts logging to standard error, panics too. `filter` is in the form of `tracing_subscriber::EnvFilter`.
pub fn log_to_stderr(filter: &str, as_json: bool) {
    let pipe = Pipe::open();
    log_to(move || pipe, filter, as_json);
    // The hook of the standard library writes to standard error itself, and waits for its reader.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let words = panic.payload().downcast_ref::<&str>().copied();
        let words = words.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        tracing::error!(place, words, "a panic");
    }));
}

/// A remark of the server beside its log, in order with it.
pub fn say(text: &str) {
    // Cannot fail: what nobody reads is dropped and counted.
    let _ = Pipe::open().write_all(format!("{text}\n").as_bytes());
}

/// Waits a moment for the last lines of the log to leave the process. Call it before the end.
pub fn flush() {
    crate::log_pipe::flush();
}

/// The same, to somewhere else.
pub fn log_to<W>(writer: W, filter: &str, as_json: bool)
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // The MCP SDK writes whole messages at its finer levels, with the arguments of tools in them, and at the others what its
    // clients chose as ids and names: no filter opens those. What matters of a call is written by us.
    let quiet = filter_fn(|event| !event.target().starts_with("rmcp"));
    let layer = fmt::layer().with_writer(writer).with_target(false);
    let layer = if as_json { layer.json().boxed() } else { layer.boxed() };
    // A second call in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter).with_filter(quiet)).try_init();
}
