import { fileURLToPath } from 'node:url'

/** Where Node keeps what it compiles, for all processes that tests and attacks start: half of what one costs to start is that. */
export const COMPILED: string = fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url))
