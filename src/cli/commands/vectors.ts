/** weft vectors SUITE --in FILE: a sceptic's window into weft's own algorithms. */
import type { Command } from '../context.ts'
import { UnknownSuiteError } from '../errors.ts'

/** Suites of this version by name; each takes the text of the input file and prints every intermediate value. */
const SUITES: ReadonlyMap<string, Command> = new Map()

export const command: Command = async (context) => {
  const name = context.flags.required(0)
  const suite = SUITES.get(name)
  if (suite === undefined) throw new UnknownSuiteError(name, [...SUITES.keys()])
  return suite(context)
}
