//! `relievo eval`.

use crate::args::EvalWhat;
use crate::{Done, Failure};

pub(crate) fn eval(_what: EvalWhat) -> Result<Done, Failure> {
    Err(Failure::Usage("later".to_owned()))
}
