// Nothing but a comment.
use std::fs;
