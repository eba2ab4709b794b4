//! What holds for every page.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    kit::operator,
    organisation,
    scene::{Scene, sign_in},
    walk,
};

const MEMBER: &str = "member@example.org";

/// Nothing that axe knows to be in somebody's way, at no size and in no theme; nothing wider than the window; no error.
pub fn no_page_has_a_barrier(scene: &mut Scene) {
    // What is wrong, and on which pages: the same on several is one thing to repair.
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let page = scene.page.clone();
    let mut known = 0;
    every_page(scene, |place, settled| {
        let mut note = |what: String| found.entry(what).or_default().push(place.to_owned());
        if !settled {
            note("never loaded".to_owned());
        }
        page.axe().into_iter().for_each(&mut note);
        page.overflow().into_iter().for_each(|what| note(format!("wider than the window: {what}")));
        let faults = page.faults();
        let new: BTreeSet<String> = faults[known..].iter().cloned().collect();
        new.into_iter().for_each(&mut note);
        known = faults.len();
    });
    let lines: Vec<String> =
        found.iter().map(|(what, places)| format!("{what}\n    at {}", places.join(", "))).collect();
    assert!(lines.is_empty(), "{} to repair:\n{}", lines.len(), lines.join("\n"));
}

/// Every page opens for whoever may sign in: what a role may not do is blocked there with the reason, and no page is an error.
pub fn every_page_opens_for_every_role(scene: &mut Scene) {
    let organisation = organisation::make(scene.fleet());
    assert_eq!(operator(&scene.fleet().db, MEMBER, "member").code, Some(0));
    for who in [organisation::AUDITOR, MEMBER, organisation::APPROVER] {
        let page = scene.another_page();
        sign_in(&page, who);
        for (name, path) in walk::inside(&organisation) {
            page.open(&path);
            page.settled();
            assert_eq!(page.count(".notice.bad[role=alert]"), 0, "{name} for {who}: {}", page.words());
        }
        assert_eq!(page.faults(), Vec::<String>::new(), "{who}");
    }
}

/// Makes a picture of every page, also of one that is broken; that it is broken is said afterwards.
pub fn pictures(scene: &mut Scene, folder: &Path) {
    let page = scene.page.clone();
    let mut broken = Vec::new();
    every_page(scene, |place, settled| {
        page.screenshot(&folder.join(format!("{place}.png")));
        broken.extend((!settled).then(|| place.to_owned()));
    });
    assert!(broken.is_empty(), "never loaded: {}", broken.join(", "));
}

/// Looks at every page in every way. The name of each is `page-width-theme`.
fn every_page(scene: &Scene, mut look_at: impl FnMut(&str, bool)) {
    let page = &scene.page;
    let organisation = organisation::make(scene.fleet());
    let mut open = |name: &str, look: &str, path: &str| {
        page.open(path);
        let settled = page.settles();
        look_at(&format!("{name}-{look}"), settled);
    };
    for (look, size) in walk::looks() {
        page.emulate(size);
        walk::OUTSIDE.iter().for_each(|(name, path)| open(name, &look, path));
    }
    scene.sign_in();
    for (look, size) in walk::looks() {
        page.emulate(size);
        walk::inside(&organisation).iter().for_each(|(name, path)| open(name, &look, path));
    }
}
