//! Where the database is, and what a server must promise before it is used.

use std::{
    collections::HashMap,
    future::poll_fn,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls,
    config::{Host, SslMode},
};

use super::error::DbError;

/// What a connection is for; decides its limits and whether it may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Writes: the writer thread, migrations, offline commands.
    Writer,
    /// Short reads of requests.
    Reader,
    /// Long reads: search, export, verification.
    Heavy,
}

/// Where the database is.
#[derive(Clone, Debug)]
pub enum Target {
    /// One file beside the other data of the service.
    Sqlite {
        /// The database file; its log files lie beside it.
        path: PathBuf,
    },
    /// A server, for several replicas.
    Postgres(Box<Server>),
}

/// A PostgreSQL server and how to reach it. Its `Debug` does not show the password.
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    tls: bool,
}

/// The name of the SQLite file inside the data directory.
pub const SQLITE_FILE: &str = "portcullis.db";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After this long without a word from the other machine a connection is given up, whether something was sent or not.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a connection may be idle before it is asked for a sign of life, and how often then.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// The oldest PostgreSQL that is tested, as `server_version_num`.
const POSTGRES_VERSION_MIN: i64 = 140_000;

impl Target {
    /// A `postgres://` or `postgresql://` URL, or without one the SQLite file in `data_dir`.
    ///
    /// Fails with [`DbError::Config`] on any other or a malformed URL; the message does not repeat it, since it may
    /// hold a password.
    pub fn parse(url: Option<&str>, data_dir: &Path) -> Result<Self, DbError> {
        let Some(url) = url else {
            return Ok(Self::Sqlite { path: data_dir.join(SQLITE_FILE) });
        };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(DbError::Config(
                "the database URL must begin with `postgres://`; leave it out to use SQLite".into(),
            ));
        }
        let mut config: Config = url.parse().map_err(|_| {
            DbError::Config("the database URL is malformed; write `postgres://user:password@host:5432/name`".into())
        })?;
        config.application_name("portcullis").connect_timeout(CONNECT_TIMEOUT);
        config.keepalives_idle(SIGN_OF_LIFE).keepalives_interval(SIGN_OF_LIFE).tcp_user_timeout(SILENCE_MAX);
        // Plain text is for this machine only. On the network, TLS with a verified certificate, whatever the URL says.
        let tls = !is_local(&config) || config.get_ssl_mode() == SslMode::Require;
        config.ssl_mode(if tls { SslMode::Require } else { SslMode::Disable });
        Ok(Self::Postgres(Box::new(Server { config, tls })))
    }
}

/// Whether every address that might be tried is a socket file or a loopback address.
fn is_local(config: &Config) -> bool {
    let loopback = |name: &str| name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let host = |host: &Host| match host {
        Host::Tcp(name) => loopback(name),
        Host::Unix(_) => true,
    };
    // `hostaddr` overrides where `host` leads, and `host` then is only the name in the certificate.
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(host),
        addresses => addresses.iter().all(IpAddr::is_loopback),
    }
}

impl Server {
    /// Whether the connection is encrypted and the server's certificate verified.
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// Connects and brings the session into the state its role needs. The task is what drives the connection, and ends
    /// with it.
    pub(super) async fn connect(&self, role: Role) -> Result<(Client, JoinHandle<()>), DbError> {
        self.connect_hearing(role, |_| ()).await
    }

    /// The same, and `heard` is called with the payload of whatever the server was asked to tell.
    pub(super) async fn connect_hearing(
        &self,
        role: Role,
        heard: impl FnMut(&str) + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>), DbError> {
        let (client, connection) = if self.tls {
            let (client, connection) = self.config.connect(tls_verified()?).await?;
            (client, tokio::spawn(drive(connection, heard)))
        } else {
            let (client, connection) = self.config.connect(NoTls).await?;
            (client, tokio::spawn(drive(connection, heard)))
        };
        // Before our own settings, which would hide what the server does by itself.
        let settings = settings(&client).await?;
        check_settings(&settings)?;
        // `on` even where the server says `local` or `remote_write`; what is stronger than `on` stays.
        if settings.get("synchronous_commit").is_none_or(|mode| mode != "remote_apply") {
            client.batch_execute("SET synchronous_commit = on").await?;
        }
        client
            .batch_execute(match role {
                Role::Writer => {
                    "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
                 SET idle_in_transaction_session_timeout = '60s'"
                }
                Role::Reader => {
                    "SET default_transaction_read_only = on; SET statement_timeout = '15s'; SET lock_timeout = '5s'; \
                 SET idle_in_transaction_session_timeout = '60s'"
                }
                Role::Heavy => {
                    "SET default_transaction_read_only = on; SET statement_timeout = '15min'; SET lock_timeout = '5s'; \
                 SET idle_in_transaction_session_timeout = '60s'"
                }
            })
            .await?;
        Ok((client, connection))
    }
}

/// Moves what is sent and received until the connection ends. Why it ended is said to whoever used it.
async fn drive<S, T>(mut connection: Connection<S, T>, mut heard: impl FnMut(&str))
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(notification) = message {
            heard(notification.payload());
        }
    }
}

async fn settings(client: &Client) -> Result<HashMap<String, String>, DbError> {
    let names = "SELECT name, setting FROM pg_settings WHERE name IN \
                 ('fsync', 'full_page_writes', 'synchronous_commit', 'server_version_num', 'server_encoding')";
    let mut settings = HashMap::new();
    for row in client.query(names, &[]).await? {
        settings.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(settings)
}

/// Refuses a server that may lose what it confirmed, or that is too old. Fails with [`DbError::Config`], whose text
/// begins with a stable code.
pub(super) fn check_settings(settings: &HashMap<String, String>) -> Result<(), DbError> {
    let setting = |name: &str| settings.get(name).map_or("", String::as_str);
    let refuse = |text: String| Err(DbError::Config(text));
    for name in ["fsync", "full_page_writes"] {
        if setting(name) != "on" {
            return refuse(format!(
                "POSTGRES_NOT_DURABLE: the server runs with `{name}` off and may lose confirmed writes; turn it on"
            ));
        }
    }
    if !matches!(setting("synchronous_commit"), "on" | "local" | "remote_write" | "remote_apply") {
        return refuse(
            "POSTGRES_NOT_DURABLE: the server runs with `synchronous_commit` off and may lose confirmed writes; \
             turn it on"
                .into(),
        );
    }
    if setting("server_encoding") != "UTF8" {
        return refuse("POSTGRES_NOT_UTF8: the database must have the encoding `UTF8`; create it anew".into());
    }
    if setting("server_version_num").parse().unwrap_or(0) < POSTGRES_VERSION_MIN {
        return refuse("POSTGRES_TOO_OLD: PostgreSQL 14 or newer is needed; upgrade the server".into());
    }
    Ok(())
}

/// TLS with the certificate authorities of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` override them), the chain
/// and the host name verified.
fn tls_verified() -> Result<tokio_postgres_rustls::MakeRustlsConnect, DbError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(DbError::Config(
            "no certificate authorities were found, so the certificate of the database cannot be verified; install \
             them or set `SSL_CERT_FILE`"
                .into(),
        ));
    }
    // The provider is named, so that the choice does not depend on what else is linked into the binary.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DbError::Config(format!("TLS is unusable: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
}
