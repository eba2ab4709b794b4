//! Subject, deed and facts as a Cedar request with just the entities it needs: subject, target, its ancestors.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression as Expr, Schema,
};

use super::LoadError;
use crate::{
    consequence::Consequence,
    deed::Deed,
    facts::{Facts, Kinship, TargetFacts},
    id::WorkspaceId,
    subject::{Principal, Standing, Subject},
    verb::Verb,
};

/// Type names, parsed once.
pub(super) struct Names {
    organisation: EntityTypeName,
    workspace: EntityTypeName,
    operator: EntityTypeName,
    agent: EntityTypeName,
    service: EntityTypeName,
    system: EntityTypeName,
    token: EntityTypeName,
    approval: EntityTypeName,
    /// With the groups each belongs to: `action in Action::"secret.write"` is only true if the entity says so.
    actions: HashMap<Verb, Entity>,
}

fn type_name(word: &str) -> Result<EntityTypeName, LoadError> {
    EntityTypeName::from_str(word).map_err(|e| LoadError::at(word, &e))
}

/// The Cedar action of a verb.
pub(super) fn action_uid(verb: Verb) -> Result<EntityUid, LoadError> {
    Ok(EntityUid::from_type_name_and_id(type_name("Action")?, EntityId::new(verb.as_str())))
}

/// Everything a rule can be told, and nothing else.
///
/// INVARIANT: the Cedar request is made from this value alone, so two equal questions have the same answer. That is what
/// makes it sound to remember answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) principal: Principal,
    pub(super) standing: Standing,
    pub(super) verb: Verb,
    root: WorkspaceId,
    target: TargetFacts,
    pub(super) consequences: Vec<Consequence>,
    in_scope: bool,
    approved: bool,
    kinship: Kinship,
    custom_runtime: bool,
    quota_spent: bool,
}

impl Question {
    pub(super) fn new(subject: &Subject, deed: &Deed, verb: Verb, facts: &Facts, approved: bool) -> Self {
        Self {
            principal: subject.principal,
            standing: facts.standing.clone(),
            verb,
            root: facts.root,
            target: facts.target.clone(),
            consequences: deed.consequences(&facts.reaches),
            in_scope: facts.scopes.has(verb.scope()),
            approved,
            kinship: facts.kinship,
            custom_runtime: facts.custom_runtime,
            quota_spent: facts.quota_spent,
        }
    }
}

/// The request could not be expressed; refused by the caller.
pub(super) struct Inexpressible;

impl Names {
    pub(super) fn new(schema: &Schema) -> Result<Self, LoadError> {
        let declared = schema.action_entities().map_err(|e| LoadError::at("schema", &e))?;
        let action = |verb: Verb| {
            let missing = || LoadError::at("schema", &format!("the verb `{}` is not an action", verb.as_str()));
            Ok((verb, declared.get(&action_uid(verb)?).ok_or_else(missing)?.clone()))
        };
        Ok(Self {
            organisation: type_name("Organisation")?,
            workspace: type_name("Workspace")?,
            operator: type_name("Operator")?,
            agent: type_name("Agent")?,
            service: type_name("Service")?,
            system: type_name("System")?,
            token: type_name("Token")?,
            approval: type_name("Approval")?,
            actions: Verb::ALL.iter().copied().map(action).collect::<Result<_, LoadError>>()?,
        })
    }

    fn workspace(&self, id: WorkspaceId) -> EntityUid {
        uid(&self.workspace, &id.to_string())
    }

    fn workspaces(&self, ids: impl Iterator<Item = WorkspaceId>) -> Expr {
        Expr::new_set(ids.map(|id| Expr::new_entity_uid(self.workspace(id))))
    }

    pub(super) fn request(&self, question: &Question) -> Result<(Request, Entities), Inexpressible> {
        let mut entities = Vec::with_capacity(4);
        let principal = self.principal(question, &mut entities)?;
        let resource = self.resource(question, &mut entities)?;
        let action = self.actions.get(&question.verb).ok_or(Inexpressible)?;
        entities.push(action.clone());
        let action = action.uid();
        let context = self.context(question)?;
        let request = Request::new(principal, action, resource, context, None).map_err(|_| Inexpressible)?;
        let entities = Entities::from_entities(entities, None).map_err(|_| Inexpressible)?;
        Ok((request, entities))
    }

    fn principal(&self, question: &Question, entities: &mut Vec<Entity>) -> Result<EntityUid, Inexpressible> {
        // INVARIANT: what the subject is and what its row says must agree; a mixture is nobody.
        let (uid, attributes) = match (&question.principal, &question.standing) {
            (Principal::Operator(id), Standing::Operator { role, groups, stepped_up }) => (
                uid(&self.operator, &id.to_string()),
                vec![
                    ("rank", Expr::new_long(*role as i64)),
                    ("groups", Expr::new_set(groups.iter().cloned().map(Expr::new_string))),
                    ("stepped_up", Expr::new_bool(*stepped_up)),
                ],
            ),
            (Principal::Agent(home), Standing::Agent) => {
                (uid(&self.agent, &home.to_string()), vec![("home", Expr::new_entity_uid(self.workspace(*home)))])
            }
            (Principal::Service(id), Standing::Service { unattended }) => {
                (uid(&self.service, &id.to_string()), vec![("unattended", Expr::new_bool(*unattended))])
            }
            (Principal::System(role), Standing::System) => (uid(&self.system, role.as_str()), Vec::new()),
            _ => return Err(Inexpressible),
        };
        entities.push(entity(uid.clone(), attributes, HashSet::new())?);
        Ok(uid)
    }

    fn resource(&self, question: &Question, entities: &mut Vec<Entity>) -> Result<EntityUid, Inexpressible> {
        let organisation = uid(&self.organisation, "this");
        let (uid, attributes, parents) = match &question.target {
            TargetFacts::Organisation => (organisation, Vec::new(), HashSet::new()),
            TargetFacts::Workspace { id, kind, ancestors } => {
                let parents = ancestors.iter().map(|id| self.workspace(*id)).chain([organisation]).collect();
                (self.workspace(*id), vec![("kind", Expr::new_string(kind.as_str().to_owned()))], parents)
            }
            TargetFacts::Token { id, own, agent, builtin } => {
                let mut attributes = vec![("own", Expr::new_bool(*own)), ("builtin", Expr::new_bool(*builtin))];
                if let Some(agent) = agent {
                    attributes.push(("agent", Expr::new_entity_uid(self.workspace(*agent))));
                }
                (uid(&self.token, &id.to_string()), attributes, HashSet::new())
            }
            TargetFacts::Approval { id, own } => {
                (uid(&self.approval, &id.to_string()), vec![("own", Expr::new_bool(*own))], HashSet::new())
            }
        };
        entities.push(entity(uid.clone(), attributes, parents)?);
        Ok(uid)
    }

    fn context(&self, question: &Question) -> Result<Context, Inexpressible> {
        let select = |pick: fn(&Consequence) -> Option<WorkspaceId>| {
            self.workspaces(question.consequences.iter().filter_map(pick))
        };
        let pairs = [
            ("root", Expr::new_entity_uid(self.workspace(question.root))),
            ("interrupts", select(|c| matches!(c, Consequence::Interrupts { .. }).then(|| c.workspace()).flatten())),
            (
                "reconfigures",
                select(|c| matches!(c, Consequence::Reconfigures { .. }).then(|| c.workspace()).flatten()),
            ),
            ("destroys", select(|c| matches!(c, Consequence::Destroys { .. }).then(|| c.workspace()).flatten())),
            ("releases", select(|c| matches!(c, Consequence::Releases { .. }).then(|| c.workspace()).flatten())),
            ("in_scope", Expr::new_bool(question.in_scope)),
            ("approved", Expr::new_bool(question.approved)),
            ("peer", Expr::new_bool(question.kinship == Kinship::Peer)),
            ("lineal", Expr::new_bool(question.kinship == Kinship::Lineal)),
            ("custom_runtime", Expr::new_bool(question.custom_runtime)),
            ("quota_spent", Expr::new_bool(question.quota_spent)),
        ];
        Context::from_pairs(pairs.into_iter().map(|(name, value)| (name.to_owned(), value))).map_err(|_| Inexpressible)
    }
}

fn uid(name: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id))
}

fn entity(uid: EntityUid, attributes: Vec<(&str, Expr)>, parents: HashSet<EntityUid>) -> Result<Entity, Inexpressible> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entity::new(uid, attributes, parents).map_err(|_| Inexpressible)
}
