/** weft vectors SUITE --in FILE: a sceptic's window into weft's own algorithms (docs/vectors.md). */
import type { Command } from '../context.ts'
import { UnknownSuiteError } from '../errors.ts'
import { computeCases } from './vectors/compute.ts'
import { readCases } from './vectors/file.ts'
import { writeGradients } from './vectors/gradient.ts'
import type { Suite } from './vectors/suite.ts'

/** Suites of this version by name; each is loaded when it is asked for. */
const SUITES: ReadonlyMap<string, () => Promise<Suite>> = new Map([
  ['frame', async () => (await import('./vectors/frame.ts')).frameSuite],
  ['tokenizer', async () => (await import('./vectors/tokenizer.ts')).tokenizerSuite],
  ['weights', async () => (await import('./vectors/weights.ts')).weightsSuite],
])

export const command: Command = async (context) => {
  const name = context.flags.required(0)
  if (name === 'gradient') return await writeGradients(context)
  const suite = SUITES.get(name)
  if (suite === undefined) throw new UnknownSuiteError(name, [...SUITES.keys(), 'gradient'])
  const cases = await readCases(context.flags.text('in'), name)
  const results = await computeCases(context, await suite(), cases)
  context.out.document({ schema: 'weft.vectors/1', suite: name, results })
}
