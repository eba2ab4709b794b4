//! Runs one scenario: fixtures, steps, checks, and away with everything.

use std::time::Instant;

use base64::Engine;
use reqwest::Method;
use serde_json::Value;

use super::check::{Before, Checking};
use super::fixture::Fixture;
use super::format::{Check, Scenario, Step};
use super::pattern::{lookup, mismatches};
use super::report::{Outcome, Report};
use super::target::Target;
use crate::client::{Answer, Call};
use crate::error::Error;
use crate::random;

/// Runs the scenario and says what happened.
pub async fn run_scenario(scenario: &Scenario, target: &Target) -> Report {
    replay(scenario, target, &mut |_| {}).await
}

/// The same, telling each outcome as it comes.
pub async fn replay(scenario: &Scenario, target: &Target, tell: &mut (dyn FnMut(&Outcome) + Send)) -> Report {
    let started = Instant::now();
    let mut report = Report { id: scenario.head.id.clone(), title: scenario.head.title.clone(), ..Report::default() };
    match Fixture::new(target) {
        Ok(fixture) => {
            let mut run = Run { target, fixture, before: Before::default(), outcomes: Vec::new(), tell };
            if let Err(error) = run.all(scenario).await {
                report.fault = Some(error.to_string());
            }
            if target.keep {
                report.notes.push(format!("fixtures of this run end in `-{}` and were kept", run.fixture.unique));
            } else {
                report.notes.extend(run.clean_up(scenario).await);
            }
            report.outcomes = run.outcomes;
        }
        Err(error) => report.fault = Some(error.to_string()),
    }
    report.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    report
}

struct Run<'a> {
    target: &'a Target,
    fixture: Fixture,
    before: Before,
    outcomes: Vec<Outcome>,
    tell: &'a mut (dyn FnMut(&Outcome) + Send),
}

impl Run<'_> {
    async fn all(&mut self, scenario: &Scenario) -> Result<(), Error> {
        self.fixture.build(scenario, self.target).await?;
        self.before = Before::read(&self.target.owner).await?;
        // A step that fails does not end the run: what follows shows what the failure led to.
        for step in &scenario.steps {
            let outcome = self.step(step, "step").await;
            self.settle(outcome);
            for check in &step.checks {
                self.check(check).await;
            }
        }
        for check in &scenario.checks {
            self.check(check).await;
        }
        Ok(())
    }

    async fn clean_up(&mut self, scenario: &Scenario) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.fixture.actors.is_empty() {
            for step in &scenario.cleanups {
                let outcome = self.step(step, "cleanup").await;
                if !outcome.failures.is_empty() || outcome.status.is_none_or(|status| status >= 400) {
                    let why = outcome.failures.first().or(outcome.error.as_ref());
                    notes.push(format!("cleanup `{}`: {}", outcome.request, why.map_or("failed", String::as_str)));
                }
            }
        }
        notes.extend(self.fixture.remove(self.target).await);
        notes
    }

    fn settle(&mut self, outcome: Outcome) {
        (self.tell)(&outcome);
        self.outcomes.push(outcome);
    }

    async fn step(&mut self, step: &Step, part: &'static str) -> Outcome {
        let who = self.fixture.actors.get(&step.actor).map_or_else(|| step.actor.clone(), |actor| actor.label.clone());
        let mut outcome =
            Outcome { part, who, say: step.say.clone(), request: step.request.clone(), ..Outcome::default() };
        match self.ask(step).await {
            Ok(answer) => self.judge(step, &answer, &mut outcome),
            Err(error) => outcome.failures.push(self.scrubbed(error.to_string())),
        }
        outcome
    }

    async fn ask(&mut self, step: &Step) -> Result<Answer, Error> {
        let (verb, path) = step.verb_and_path().ok_or_else(|| Error::fault("the request is malformed"))?;
        let verb = Method::from_bytes(verb.as_bytes()).map_err(|_| Error::fault("HTTP has no such method"))?;
        let meanings = &mut self.fixture.meanings;
        let mut call = Call::new(verb, meanings.text(path).map_err(Error::fault)?);
        if let Some(body) = &step.json {
            call = call.json(&meanings.json(body).map_err(Error::fault)?);
        }
        if let Some(body) = &step.body {
            call.body = Some(meanings.text(body).map_err(Error::fault)?.into_bytes());
        }
        for (name, value) in &step.headers {
            call = call.header(name, meanings.text(value).map_err(Error::fault)?);
        }
        call.omit.clone_from(&step.omit);
        let actor = self.fixture.actors.get(&step.actor);
        actor.ok_or_else(|| Error::fault("there is no such actor"))?.client.send(&call).await
    }

    fn judge(&mut self, step: &Step, answer: &Answer, outcome: &mut Outcome) {
        let body = answer.json().unwrap_or_default();
        let member = |name: &str| body[name].as_str().map(|text| self.scrubbed(text.to_owned()));
        outcome.status = Some(answer.status);
        outcome.code = member("code");
        outcome.error = member("error");
        outcome.reason = member("reason");
        outcome.next_step = member("next_step");
        let mut failures = Vec::new();
        if let Some(status) = step.expect.status.filter(|status| *status != answer.status) {
            failures.push(format!("status should be {status}, is {}", answer.status));
        }
        if let Some(code) = step.expect.code.as_ref().filter(|code| Some(*code) != outcome.code.as_ref()) {
            failures.push(format!("code should be {code}, is {}", outcome.code.as_deref().unwrap_or("absent")));
        }
        if let Some(pattern) = &step.expect.json {
            match self.fixture.meanings.json(pattern) {
                Ok(pattern) => mismatches("", &pattern, Some(&body), &mut failures),
                Err(why) => failures.push(why),
            }
        }
        for (name, value) in &step.expect.headers {
            let actual = answer.headers.get(name).and_then(|value| value.to_str().ok());
            if actual != Some(value) {
                failures.push(format!("header {name} should be {value}, is {}", actual.unwrap_or("absent")));
            }
        }
        self.remember(step, &body, &mut failures);
        if answer.status == 202
            && let Some(id) = body["approval_id"].as_str()
        {
            self.fixture.approvals.push((id.to_owned(), step.actor.clone()));
        }
        failures.extend(self.leak(answer, step.reveals));
        outcome.failures = failures.into_iter().map(|failure| self.scrubbed(failure)).collect();
    }

    fn remember(&mut self, step: &Step, body: &Value, failures: &mut Vec<String>) {
        for (name, path) in &step.capture {
            match lookup(body, path).filter(|value| !value.is_null()) {
                Some(value) => self.fixture.meanings.learn(name, value.clone()),
                None => failures.push(format!("the answer has no `{path}` to remember as `{name}`")),
            }
        }
    }

    async fn check(&mut self, check: &Check) {
        let reader = match check.actor.as_ref().and_then(|name| self.fixture.actors.get(name)) {
            Some(actor) => actor.client.clone(),
            None => self.target.owner.clone(),
        };
        let mut seen = Vec::new();
        let mut checking = Checking { before: &self.before, meanings: &mut self.fixture.meanings, reader: &reader };
        let mut failures = checking.run(check, &mut seen).await.unwrap_or_else(|error| vec![error.to_string()]);
        failures.extend(seen.iter().filter_map(|answer| self.leak(answer, false)));
        let failures = failures.into_iter().map(|failure| self.scrubbed(failure)).collect();
        let who = "check".to_owned();
        self.settle(Outcome { part: "check", who, say: check.say.clone(), failures, ..Outcome::default() });
    }

    /// Looks for values and credentials of this run where none may be.
    fn leak(&self, answer: &Answer, reveals: bool) -> Option<String> {
        let mut text = String::from_utf8_lossy(&answer.body).into_owned();
        for value in answer.headers.values() {
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
        let shows_value = !reveals && self.fixture.meanings.canaries().any(|canary| shows(&text, canary));
        let shows_credential = self.fixture.credentials.iter().any(|credential| text.contains(credential.reveal()));
        match (shows_value, shows_credential) {
            (true, _) => Some("the answer shows a secret value".to_owned()),
            (_, true) => Some("the answer shows a credential".to_owned()),
            _ => None,
        }
    }

    /// A report is kept and pasted: it holds no value, even if the server sent one.
    fn scrubbed(&self, mut text: String) -> String {
        let credentials = self.fixture.credentials.iter().map(|credential| credential.reveal());
        for hidden in self.fixture.meanings.canaries().chain(credentials) {
            if text.contains(hidden) {
                text = text.replace(hidden, "[hidden]");
            }
        }
        text
    }
}

/// As it is, in hexadecimal, or in base64 (without the last group, which depends on what follows).
fn shows(text: &str, value: &str) -> bool {
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&value.as_bytes()[..value.len() / 3 * 3]);
    text.contains(value)
        || text.contains(&base64)
        || text.to_ascii_lowercase().contains(&random::encode(value.as_bytes()))
}

#[cfg(test)]
mod tests;
