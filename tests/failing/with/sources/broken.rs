fn whole() -> i32 {
    1
}

fn torn() -> i32 {
    if 1 > {
    2
}

fn whole_too() -> i32 {
    3
}
