/** weft doctor: what on this machine may keep weft from working, and how to fix it. */
import { EXIT } from '../../errors.ts'
import type { Command } from '../context.ts'
import { examine } from '../doctor/examine.ts'
import type { Finding } from '../doctor/finding.ts'
import { plural } from '../format.ts'
import type { Output } from '../output.ts'
import { wrap } from '../text.ts'

export const command: Command = async ({ flags, home, io, out, signal }) => {
  const findings: Finding[] = []
  for await (const finding of examine(io, home, signal, flags.flag('security'))) {
    findings.push(finding)
    if (out.jsonl) out.document(finding)
    else if (!out.json) out.lines(linesFor(finding, out))
  }
  const count = (level: Finding['level']): number => findings.filter((finding) => finding.level === level).length
  const healthy = count('fail') === 0
  if (out.structured) out.document({ schema: 'weft.doctor/1', ok: healthy, checks: findings })
  else
    out.note(
      healthy
        ? `all is well${count('warn') > 0 ? `, with ${plural(count('warn'), 'warning')}` : ''}`
        : `${plural(count('fail'), 'check')} failed`,
    )
  return healthy ? EXIT.ok : EXIT.integrity
}

const MARKS = { ok: ['green', '✓'], warn: ['yellow', '!'], fail: ['red', '✗'] } as const

function linesFor(finding: Finding, out: Output): string[] {
  const [style, mark] = MARKS[finding.level]
  const [first = '', ...rest] = wrap(`${finding.id}: ${finding.message}`, 80, '  ')
  const lines = [`${out.paint(style, mark)} ${first.slice(2)}`, ...rest]
  return finding.fix === null ? lines : [...lines, ...wrap(`fix: ${finding.fix}`, 80, '    ')]
}
