//! Where a scenario plays: a server of its own, and a browser in which nobody has been before.

use std::{
    cell::RefCell,
    fmt::Write,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use portcullis_authority::testkit_db::TestDb;

use crate::{
    kit::{
        PASSWORD, Server,
        fleet::{Fleet, OWNER},
        serve,
    },
    page::Page,
};

/// How much of a server's log and of a page's text a failure shows, in lines and characters.
const LOG_LINES: usize = 40;
const TEXT_MAX: usize = 3_000;

/// What is in every line of the server's log that tells nothing: a file of the console.
const QUIET: &str = "operation=\"console_asset\" method=GET status=200";

/// What every scenario needs of the machine.
#[derive(Clone)]
pub struct Tools {
    /// Address of the driver.
    pub driver: String,
    pub browser: PathBuf,
    /// Source of axe-core, where there is one.
    pub axe: Option<Arc<str>>,
}

/// What there is before the scenario begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum House {
    /// A server that nobody owns yet, without agents.
    Unclaimed,
    /// An owner, and no agents.
    Claimed,
    /// An owner, and agents that run.
    Running,
}

enum Place {
    Bare(Box<(Server, TestDb)>),
    Fleet(Box<Fleet>),
}

impl Place {
    fn db(&self) -> &TestDb {
        match self {
            Self::Bare(bare) => &bare.1,
            Self::Fleet(fleet) => &fleet.db,
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Bare(bare) => bare.0.url.clone(),
            Self::Fleet(fleet) => fleet.url(),
        }
    }
}

/// A browser for this server; the first one is number one.
fn browser(tools: &Tools, place: &Place, number: usize) -> Page {
    let home = place.db().data_dir.join(format!("browser-{number}"));
    // By its name: passkeys do not work with addresses.
    let origin = place.url().replace("127.0.0.1", "localhost");
    Page::new(&tools.driver, &tools.browser, &home, origin, tools.axe.clone())
}

/// The scene of one scenario.
pub struct Scene {
    /// The first browser. Clone the pointer where the server must be changed at the same time.
    pub page: Rc<Page>,
    pages: RefCell<Vec<Rc<Page>>>,
    place: Place,
    tools: Tools,
}

impl Scene {
    pub fn new(tools: &Tools, house: House, db: TestDb) -> Self {
        let place = match house {
            House::Unclaimed => Place::Bare(Box::new((Server::start(serve(&db)), db))),
            House::Claimed => {
                // Agents on other machines may be configured; none is started.
                let mut fleet = Fleet::prepared(db, "url = \"http://portcullis.example\"");
                fleet.start_with(|command| {
                    command.arg("--no-agents");
                });
                Place::Fleet(Box::new(fleet))
            }
            House::Running => Place::Fleet(Box::new(Fleet::new(db, ""))),
        };
        let page = Rc::new(browser(tools, &place, 1));
        Self { pages: RefCell::new(vec![Rc::clone(&page)]), page, place, tools: tools.clone() }
    }

    /// The server with its agents and the owner's own requests.
    pub fn fleet(&self) -> &Fleet {
        match &self.place {
            Place::Fleet(fleet) => fleet,
            Place::Bare(_) => panic!("nobody owns this server"),
        }
    }

    /// The same, to stop and start it.
    pub fn fleet_mut(&mut self) -> &mut Fleet {
        match &mut self.place {
            Place::Fleet(fleet) => fleet,
            Place::Bare(_) => panic!("nobody owns this server"),
        }
    }

    /// The path of the claim link that the server prints.
    pub fn claim_path(&self) -> String {
        let Place::Bare(bare) = &self.place else { panic!("somebody owns this server") };
        let line = bare.0.line("/claim#");
        format!("/claim#{}", line.rsplit_once('#').expect("a token").1)
    }

    /// Signs the owner in, as a person does.
    #[track_caller]
    pub fn sign_in(&self) {
        sign_in(&self.page, OWNER);
    }

    /// A browser of somebody else, on the same server.
    pub fn another_page(&self) -> Rc<Page> {
        let page = Rc::new(browser(&self.tools, &self.place, self.pages.borrow().len() + 1));
        self.pages.borrow_mut().push(Rc::clone(&page));
        page
    }

    /// What no page may do, over all of them.
    pub fn faults(&self) -> Vec<String> {
        self.pages.borrow().iter().flat_map(|page| page.faults()).collect()
    }

    /// What helps to understand a failure.
    pub fn describe(&self, pictures: &Path, name: &str) -> String {
        let mut text = String::new();
        for (n, page) in self.pages.borrow().iter().enumerate() {
            let picture = pictures.join(format!("{name}-{}.png", n + 1));
            // A browser that is gone cannot say anything, and the failure is another one.
            let look = std::panic::AssertUnwindSafe(|| {
                page.screenshot(&picture);
                page.path()
            });
            let path = std::panic::catch_unwind(look).unwrap_or_else(|_| "a browser that does not answer".to_owned());
            let words: String = page.words().chars().take(TEXT_MAX).collect();
            let log: Vec<String> = page.logs().iter().map(|entry| entry["message"].to_string()).collect();
            let _ = write!(
                text,
                "-- page {} at {path}\n-- picture: {}\n-- text: {words}\n-- browser log:\n{}\n",
                n + 1,
                picture.display(),
                log.join("\n")
            );
        }
        let log = match &self.place {
            Place::Bare(bare) => bare.0.log(),
            Place::Fleet(fleet) => fleet.log(),
        };
        let engine = self.place.db().engine;
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains(QUIET)).collect();
        let _ = write!(
            text,
            "-- server log, on {engine}:\n{}\n",
            lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
        );
        text
    }
}

/// Signs an operator in, as a person does.
#[track_caller]
pub fn sign_in(page: &Page, email: &str) {
    page.open("/console");
    page.control("sign-in.email").fill(email);
    page.control("sign-in.password").fill(PASSWORD);
    page.control("sign-in.submit").click();
    page.text("#main");
}
