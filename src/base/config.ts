/**
 * `gatehouse.toml`: every setting with its default and meaning, read strictly. An unknown key is an error
 * that names the nearest known one; every effective value remembers where it came from.
 */
export {};
