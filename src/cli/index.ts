/** The command line: `main` runs one line; everything else here is for those who start it. */
export { CLI_ERRORS } from './errors.ts'
export { processIo } from './io.ts'
export type { CliIo, InputStream, OutputStream, Signal } from './io.ts'
export { main, runProcess } from './main.ts'
export { COMMANDS } from './commands-table.ts'
export type { CommandSpec, OptionSpec } from './option-types.ts'
