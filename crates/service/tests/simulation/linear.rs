//! Whether a concurrent history is that of one thing at a time: is there an order of what the clients did, each between its
//! request and its answer, in which a sequential model gives the same answers? (Wing and Gong's search, with memory.)
//!
//! Each client does one thing after the other, so a point of the search is how far each client is, and the model there. What
//! was not answered is the last thing of its client: it may have happened at any time since, or never.

use std::{
    cmp::Reverse,
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Something a client did, with the moments of asking and of being answered.
#[derive(Debug, Clone)]
pub struct Timed<E> {
    pub asked: u64,
    /// `None`: never answered.
    pub answered: Option<u64>,
    pub did: E,
}

/// Finds an order. `apply` is the model: the state after, or `None` where the answer does not fit the state. On failure the
/// furthest positions that could be explained are returned.
pub fn order<S: Clone + Hash, E>(
    start: &S,
    clients: &[Vec<Timed<E>>],
    apply: impl Fn(&S, &Timed<E>) -> Option<S>,
) -> Result<S, Vec<usize>> {
    let mut seen = HashSet::new();
    let mut furthest = vec![0; clients.len()];
    let mut stack = vec![(vec![0_usize; clients.len()], start.clone())];
    while let Some((at, state)) = stack.pop() {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        if !seen.insert((at.clone(), hasher.finish())) {
            continue;
        }
        if at.iter().sum::<usize>() > furthest.iter().sum() {
            furthest.clone_from(&at);
        }
        let next: Vec<_> = clients.iter().zip(&at).map(|(client, at)| client.get(*at)).collect();
        if next.iter().flatten().all(|one| one.answered.is_none()) {
            return Ok(state);
        }
        // Whatever was asked after something was answered comes after it.
        let soonest = next.iter().flatten().filter_map(|one| one.answered).min().unwrap_or(u64::MAX);
        // What was answered first mostly happened first, so it is tried first.
        let mut next: Vec<_> = next.into_iter().enumerate().filter_map(|(client, one)| Some((client, one?))).collect();
        next.sort_by_key(|(_, one)| Reverse(one.answered.unwrap_or(u64::MAX)));
        for (client, one) in next {
            if one.asked < soonest
                && let Some(after) = apply(&state, one)
            {
                let mut at = at.clone();
                at[client] += 1;
                stack.push((at, after));
            }
        }
    }
    Err(furthest)
}

/// The state an order leaves, or the shortest beginning of the history, by time, that has no order: what came later is not
/// needed to see it. Short beginnings are tried first, for all the orders of a long one are more than anybody waits for.
pub fn explained<S: Clone + Hash, E: Clone>(
    start: &S,
    clients: &[Vec<Timed<E>>],
    apply: impl Fn(&S, &Timed<E>) -> Option<S>,
) -> Result<S, Vec<Vec<Timed<E>>>> {
    let mut moments: Vec<u64> = clients.iter().flatten().filter_map(|one| one.answered).collect();
    moments.sort_unstable();
    let until = |moment: u64| -> Vec<Vec<Timed<E>>> {
        let begun = |one: &&Timed<E>| one.asked <= moment;
        let cut = |one: &Timed<E>| Timed { answered: one.answered.filter(|at| *at <= moment), ..one.clone() };
        clients.iter().map(|client| client.iter().filter(begun).map(cut).collect()).collect()
    };
    let has_order = |moment: &u64| order(start, &until(*moment), &apply).is_ok();
    // A history that has no order has none however it goes on.
    let mut tried = 4;
    while tried < moments.len() && has_order(&moments[tried]) {
        tried *= 2;
    }
    if tried >= moments.len()
        && let Ok(state) = order(start, clients, &apply)
    {
        return Ok(state);
    }
    let first = moments[..moments.len().min(tried + 1)].partition_point(has_order);
    Err(moments.get(first).map_or_else(|| clients.to_vec(), |moment| until(*moment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register: `Ok(n)` wrote n, `Err(n)` read n.
    type Did = Result<u8, u8>;

    fn apply(state: &u8, one: &Timed<Did>) -> Option<u8> {
        match one.did {
            Ok(written) => Some(written),
            Err(read) => (one.answered.is_none() || read == *state).then_some(*state),
        }
    }

    fn did(asked: u64, answered: u64, did: Did) -> Timed<Did> {
        Timed { asked, answered: (answered > 0).then_some(answered), did }
    }

    #[test]
    fn what_overlaps_may_be_seen_either_way_and_what_came_after_may_not() {
        let writes = vec![did(1, 4, Ok(1))];
        for (asked, answered, read, fits) in [(2, 3, 0, true), (2, 3, 1, true), (5, 6, 1, true), (5, 6, 0, false)] {
            let clients = [writes.clone(), vec![did(asked, answered, Err(read))]];
            assert_eq!(order(&0, &clients, apply).is_ok(), fits, "read {read} from {asked} to {answered}");
        }
    }

    #[test]
    fn nobody_reads_new_and_then_old() {
        let back = [vec![did(1, 9, Ok(1))], vec![did(2, 3, Err(1)), did(4, 5, Err(0)), did(6, 7, Err(0))]];
        let short = explained(&0, &back, apply).expect_err("it has no order");
        assert_eq!(short[1].len(), 2, "what came later is left out");
        assert!(short[0][0].answered.is_none(), "the write was still open");
    }

    #[test]
    fn what_was_not_answered_happened_or_not() {
        for read in [0, 1] {
            let clients = [vec![did(1, 0, Ok(1))], vec![did(2, 3, Err(read)), did(4, 5, Err(read))]];
            assert!(order(&0, &clients, apply).is_ok());
        }
        let clients = [vec![did(1, 0, Ok(1))], vec![did(2, 3, Err(1)), did(4, 5, Err(0))]];
        assert!(order(&0, &clients, apply).is_err(), "not both");
    }
}
