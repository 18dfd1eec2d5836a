/** What came of a change to a cluster, for people and programs. */
import type { ClusterOutcome } from '../../peer/index.ts'
import type { CommandContext } from '../context.ts'
import { plural } from '../format.ts'
import { printable } from '../text.ts'
import { writeSecret } from './files.ts'

/** The change stands, or is written as a proposal for others to sign. @returns 10 where it waits for others */
export async function tellChange(
  { out, flags }: CommandContext,
  outcome: ClusterOutcome,
  done: string,
): Promise<number> {
  if (outcome.schema === 'weft.cluster-proposed/1') {
    const file = flags.text('out')
    if (file !== undefined) await writeSecret(file, outcome.proposal)
    if (out.structured) out.document(file === undefined ? outcome : { ...outcome, proposal: null, file })
    else if (file === undefined) out.write(outcome.proposal)
    const where = file === undefined ? 'what was printed' : printable(file)
    out.note(`${plural(outcome.missing, 'more admin')} must sign: weft cluster sign FILE there, with ${where}`)
    return 10
  }
  if (out.structured) out.document(outcome)
  else out.note(done)
  return 0
}
