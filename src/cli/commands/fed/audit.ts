/** weft fed audit DIR: the rounds of a job summed again, from what exports of its members hold. */
import { resolve } from 'node:path'
import { EXIT } from '../../../errors.ts'
import { auditFolder } from '../../../federated/index.ts'
import type { AuditReport } from '../../../federated/index.ts'
import type { Command } from '../../context.ts'
import { UsageError } from '../../errors.ts'
import type { Output } from '../../output.ts'
import { printable, table } from '../../text.ts'

export const auditCommand: Command = async ({ flags, out }) => {
  const folder = flags.argument(1)
  if (folder === undefined) throw new UsageError('weft fed audit needs DIR', 'usage: weft fed audit DIR, an export')
  const report = await auditFolder(resolve(folder))
  if (out.structured) out.document(report)
  else show(out, report)
  return report.ok ? EXIT.ok : EXIT.integrity
}

function show(out: Output, { job, plan, ok, rounds, results, findings }: AuditReport): void {
  out.line(`${job}  plan ${plan}`)
  const rows = rounds.map((round) => [
    String(round.session),
    String(round.members.length),
    String(round.receipts),
    round.sum?.slice(0, 16) ?? '-',
    round.state?.slice(0, 16) ?? '-',
    round.findings.length === 0 ? 'right' : `${round.findings.length} found`,
  ])
  const heads = ['SESSION', 'SITES', 'RECEIPTS', 'SUM', 'STATE', ''].map((head) => ({ head }))
  if (rows.length > 0) out.lines(table(heads, rows))
  const signed = results.map(({ step, session, model, signers, needed, findings: of }) => [
    String(step),
    String(session),
    model.slice(0, 16),
    `${signers.length} of ${needed}`,
    of.length === 0 ? 'stands' : `${of.length} found`,
  ])
  const columns = ['SUM', 'SESSION', 'MODEL', 'SIGNED', ''].map((head) => ({ head }))
  if (signed.length > 0) out.lines(table(columns, signed))
  for (const finding of [...findings, ...[...rounds, ...results].flatMap((one) => one.findings)]) {
    const where = finding.session === null ? '' : `session ${finding.session}: `
    out.line(printable(`${where}${finding.kind}: ${finding.what}`))
  }
  if (rounds.length === 0 && ok) out.note('each model is signed by enough of its members')
  else if (rounds.length === 0) out.note('no round is there to be summed again: the plan has to ask for "transcripts"')
  else if (ok) out.note('each sum follows from what its members signed')
}
