//! What tasks are to TensorFlow, and how they train together.

use std::fmt;
use std::str::FromStr;

use crate::pins::value::shown;

/// More tasks in one role are a slip of the finger.
const MOST: u64 = 1000;

/// What a task is to TensorFlow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Coordinates, or is the first worker.
    Chief,
    /// Computes.
    Worker,
    /// Holds variables.
    Ps,
    /// Stands outside the cluster and looks at what was saved.
    Evaluator,
}

impl Role {
    /// In the order in which people name them.
    pub const ALL: [Role; 4] = [Role::Chief, Role::Worker, Role::Ps, Role::Evaluator];

    /// TensorFlow's name of the task type.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Chief => "chief",
            Role::Worker => "worker",
            Role::Ps => "ps",
            Role::Evaluator => "evaluator",
        }
    }

    /// The most tasks that TensorFlow takes.
    pub fn most(self) -> u64 {
        match self {
            Role::Chief | Role::Evaluator => 1,
            Role::Worker | Role::Ps => MOST,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the tasks train together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `ParameterServerStrategy` with a coordinator on the chief.
    ParameterServer,
    /// `MultiWorkerMirroredStrategy`.
    MultiWorkerMirrored,
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "parameter-server" => Ok(Strategy::ParameterServer),
            "multi-worker-mirrored" => Ok(Strategy::MultiWorkerMirrored),
            _ => Err(format!(
                "expected `parameter-server` or `multi-worker-mirrored`, found {}",
                shown(text)
            )),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::ParameterServer => "parameter-server",
            Strategy::MultiWorkerMirrored => "multi-worker-mirrored",
        })
    }
}
