//! `login`, `logout`, `step-up`

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::client::{Answer, Call, Client, Credential};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::profile::{Profile, Session};

/// `login`
#[derive(Args)]
pub struct LoginArgs {
    /// Login name [default: ask]
    #[arg(long)]
    email: Option<String>,
    /// File with the password (`-` for stdin) [default: ask]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// `step-up`
#[derive(Args)]
pub struct StepUpArgs {
    /// File with the password (`-` for stdin) [default: ask]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub async fn login(context: &Context, args: &LoginArgs) -> Result<Exit, Error> {
    let email = args.email.clone().map_or_else(ask_email, Ok)?;
    let password = Hidden::ask("password: ", args.password_file.as_deref())?;
    let client = context.client_as(Credential::None)?;
    let (session, answer) = open_session(&client, &email, &password).await?;
    let path = Profile::path()?;
    let mut profile = Profile::load(&path)?;
    let url = client.base().as_str().to_owned();
    profile.sessions.insert(url.clone(), session);
    profile.current = Some(url.clone());
    profile.save(&path)?;
    // The answer itself holds the CSRF token; only its harmless members are shown.
    let shown = json!({ "operator": answer["operator"], "expires_at": answer["expires_at"], "url": url });
    let role = answer["operator"]["role"].as_str().unwrap_or("operator");
    context.output.done(&shown, &format!("logged in at {url} as {email} ({role})"))?;
    Ok(Exit::Ok)
}

/// Logs in and takes the cookie; the body is handed out for what else it says.
pub async fn open_session(client: &Client, email: &str, password: &Hidden) -> Result<(Session, Value), Error> {
    let body = json!({ "email": email, "password": password.reveal() });
    let answer = client.send(&Call::post("/auth/login", &body)).await?;
    let cookie = session_cookie(&answer);
    let value = answer.into_json()?;
    let (Some(cookie), Some(csrf_token)) = (cookie, value["csrf_token"].as_str()) else {
        return Err(Error::fault("the server accepted the login but opened no session"));
    };
    Ok((Session { cookie, csrf_token: csrf_token.to_owned(), email: email.to_owned() }, value))
}

/// Shows the password again.
pub async fn prove(client: &Client, password: &Hidden) -> Result<Value, Error> {
    client.json(&Call::post("/auth/step-up", &json!({ "password": password.reveal() }))).await
}

pub async fn logout(context: &Context) -> Result<Exit, Error> {
    let client = context.client()?;
    let ended = client.json(&Call::new(reqwest::Method::POST, "/auth/logout")).await;
    let path = Profile::path()?;
    let mut profile = Profile::load(&path)?;
    profile.sessions.remove(client.base().as_str());
    profile.save(&path)?;
    match ended {
        Ok(value) => context.output.done(&value, "logged out")?,
        // The session was gone already; what matters is that it is.
        Err(error) if error.exit == Exit::Unauthenticated => context.output.note("the session had ended already"),
        Err(error) => return Err(error.hint("it is forgotten here, but may still be open at the server")),
    }
    Ok(Exit::Ok)
}

pub async fn step_up(context: &Context, args: &StepUpArgs) -> Result<Exit, Error> {
    let value = step_up_with(&context.client()?, args.password_file.as_deref()).await?;
    let until = value["step_up_until"].as_str().unwrap_or("later");
    context.output.done(&value, &format!("stepped up until {until}"))?;
    Ok(Exit::Ok)
}

/// Asks for the password, or reads it, and shows it to the server.
pub async fn step_up_with(client: &Client, password_file: Option<&Path>) -> Result<Value, Error> {
    prove(client, &Hidden::ask("password again: ", password_file)?).await
}

fn session_cookie(answer: &Answer) -> Option<String> {
    let cookies = answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.filter_map(|cookie| cookie.split(';').next()).map(str::trim);
    let mut ours = pairs.filter(|pair| pair.starts_with("__Host-portcullis=") || pair.starts_with("portcullis="));
    ours.next().map(str::to_owned)
}

fn ask_email() -> Result<String, Error> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage("there is no terminal to ask for the login name").hint("give `--email`"));
    }
    let mut line = String::new();
    let asked = write!(std::io::stderr(), "email: ").and_then(|()| std::io::stdin().lock().read_line(&mut line));
    asked.map_err(|error| Error::fault(format!("cannot ask: {error}")))?;
    Ok(line.trim().to_owned())
}
