/** weft vectors SUITE --in FILE: a sceptic's window into weft's own algorithms (docs/vectors.md). */
import type { Command } from '../context.ts'
import { UnknownSuiteError } from '../errors.ts'
import { computeCases } from './vectors/compute.ts'
import { readCases } from './vectors/file.ts'
import { writeGradients } from './vectors/gradient.ts'
import type { Suite } from './vectors/suite.ts'

/** Suites of this version by name; each is loaded when it is asked for. */
const SUITES: ReadonlyMap<string, () => Promise<Suite>> = new Map([
  ['aggregate', async () => (await import('./vectors/aggregate.ts')).aggregateSuite],
  ['clip', async () => (await import('./vectors/clip.ts')).clipSuite],
  ['dp-distributed', async () => (await import('./vectors/privacy.ts')).distributedSuite],
  ['dp-gauss', async () => (await import('./vectors/privacy.ts')).gaussSuite],
  ['dp-pld', async () => (await import('./vectors/privacy.ts')).pldSuite],
  ['dp-rdp', async () => (await import('./vectors/privacy.ts')).rdpSuite],
  ['dp-sampler', async () => (await import('./vectors/sampler.ts')).samplerSuite],
  ['frame', async () => (await import('./vectors/frame.ts')).frameSuite],
  ['quantize', async () => (await import('./vectors/quantize.ts')).quantizeSuite],
  ['secagg', async () => (await import('./vectors/secagg.ts')).secaggSuite],
  ['shamir', async () => (await import('./vectors/shamir.ts')).shamirSuite],
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
