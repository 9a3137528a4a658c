"""Pure data: what would be done, and under which key. Nothing here touches the world."""
