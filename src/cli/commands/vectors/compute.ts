/** One result a case, in order: its values, or why it was refused. */
import { WeftError } from '../../../errors.ts'
import { FederatedError } from '../../../federated/index.ts'
import type { CommandContext } from '../../context.ts'
import { Refusal } from './suite.ts'
import type { Suite, VectorCase } from './suite.ts'

export async function computeCases(
  context: CommandContext,
  suite: Suite,
  cases: readonly VectorCase[],
): Promise<VectorCase[]> {
  const compute = suite(context)
  const results: VectorCase[] = []
  for (const input of cases) {
    context.signal.throwIfAborted()
    const { id } = input
    try {
      results.push({ id, ok: true, ...(await compute(input)) })
    } catch (error) {
      results.push({ id, ok: false, error: refusalOf(error) })
    }
  }
  return results
}

/** What is no refusal of weft's is a fault of weft's, and ends the command. */
function refusalOf(error: unknown): { kind: string; message: string; code?: string } {
  if (error instanceof Refusal) return { kind: error.kind, ...error.place, message: error.message }
  if (error instanceof FederatedError) {
    const { kind, party, index, message, code } = error
    return { kind, ...(party === undefined ? {} : { party }), ...(index === undefined ? {} : { index }), message, code }
  }
  if (error instanceof WeftError) return { kind: 'refused', message: error.message, code: error.code }
  throw error
}
