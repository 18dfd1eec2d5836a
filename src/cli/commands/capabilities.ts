/** weft capabilities [--check] [ROW…]: what this version claims, and whether it holds here. */
import { EXIT } from '../../errors.ts'
import { CAPABILITIES } from '../capability-table.ts'
import type { Capability } from '../capability-table.ts'
import { checkCapability, surroundings } from '../capability-check.ts'
import type { CapabilityResult } from '../capability-check.ts'
import type { Command, CommandContext } from '../context.ts'
import { NotHereError } from '../errors.ts'
import { table } from '../text.ts'
import { waiting } from '../waiting.ts'

export const command: Command = async (context) => {
  const { flags, out } = context
  const rows = chosen(flags.rest(0))
  if (flags.flag('check')) return check(context, rows)
  if (out.structured) out.document({ schema: 'weft.capabilities/1', capabilities: rows })
  else
    out.lines(
      table(
        [{ head: 'ROW' }, { head: 'CLAIM' }],
        rows.map((row) => [row.id, row.claim]),
      ),
    )
  return EXIT.ok
}

function chosen(ids: readonly string[]): readonly Capability[] {
  const unknown = ids.find((id) => !CAPABILITIES.some((row) => row.id === id))
  if (unknown !== undefined) throw new NotHereError('row', unknown, 'weft capabilities lists all rows')
  return ids.length === 0 ? CAPABILITIES : CAPABILITIES.filter((row) => ids.includes(row.id))
}

const MARKS = { pass: ['green', '✓'], fail: ['red', '✗'], skip: ['yellow', '-'] } as const

async function check(context: CommandContext, rows: readonly Capability[]): Promise<number> {
  const { io, out } = context
  const around = await surroundings(context)
  const results: CapabilityResult[] = []
  for (const row of rows) {
    const wait = waiting(io, out, `weft ${row.show.join(' ')}`)
    const result = await checkCapability(context, row, around).finally(() => wait.end())
    results.push(result)
    const [style, mark] = MARKS[result.result]
    if (out.jsonl) out.document(result)
    else if (!out.json)
      out.line(`${out.paint(style, mark)} ${row.id}: ${row.claim}${result.why === null ? '' : ` (${result.why})`}`)
  }
  const count = (kind: CapabilityResult['result']): number => results.filter((entry) => entry.result === kind).length
  const sums = { pass: count('pass'), fail: count('fail'), skip: count('skip') }
  if (out.structured) out.document({ schema: 'weft.capabilities-check/1', ...sums, rows: results })
  else out.note(`${sums.pass} hold, ${sums.fail} do not, ${sums.skip} were skipped`)
  // What was skipped says why, and is no failure: a machine with no peer and no model is a sound one.
  return sums.fail > 0 ? EXIT.integrity : EXIT.ok
}
