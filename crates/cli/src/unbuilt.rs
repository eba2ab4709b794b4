//! Commands whose server side is not in this tree yet; each module here is replaced by a file of its own.

use crate::error::Error;

fn not_built() -> Error {
    Error::fault("not built yet")
}

macro_rules! unbuilt {
    ($($name:ident($args:ty)),* $(,)?) => {$(
        pub mod $name {
            use crate::{context::Context, error::Error, exit::Exit};

            pub async fn run(_context: &Context, _args: &$args) -> Result<Exit, Error> {
                Err(super::not_built())
            }
        }
    )*};
}

unbuilt!(
    serve(crate::args::ServeArgs),
    demo(crate::args::DemoArgs),
    operator_offline(crate::args::OperatorCreateArgs),
    audit_offline(crate::args::AuditVerifyArgs),
    doctor(crate::args::DoctorArgs),
);
