/** weft fed check PLAN [--data FILE]: whether a plan can work, and what a site's data is under it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  checkData,
  checkOutside,
  checkPrivacy,
  extentOf,
  isAnalysis,
  planHash,
  readJobPlan,
  thresholdOf,
} from '../../../federated/index.ts'
import { createOrtEngine } from '../../../onnx/index.ts'
import type { Command } from '../../context.ts'
import { UsageError } from '../../errors.ts'
import { printable, table } from '../../text.ts'
import { basesFor } from './bases.ts'
import { warningsOf } from './warnings.ts'

export const checkCommand: Command = async (context) => {
  const { flags, io, out, signal } = context
  const path = flags.argument(1)
  if (path === undefined) throw new UsageError('weft fed check needs PLAN', 'usage: weft fed check PLAN --data FILE')
  const plan = await readJobPlan(path)
  if (!isAnalysis(plan)) checkPrivacy(plan)
  const { rounds, sumsOfEach } = extentOf(plan)
  const sums = rounds * sumsOfEach
  if (flags.text('trainer') !== undefined) checkOutside(plan)
  const hash = Buffer.from(planHash(plan)).toString('hex')
  const root = await mkdtemp(join(tmpdir(), 'weft-fed-check-'))
  context.defer(() => rm(root, { recursive: true, force: true }))
  const needs = { clock: io.clock, engine: createOrtEngine(), base: await basesFor(context, plan) }
  const sites = []
  for (const file of flags.texts('data')) {
    sites.push(await checkData(needs, root, plan, file, signal))
  }
  const least = Math.max(plan.minimum?.sites ?? 3, 3)
  const warnings = warningsOf(plan, sites)
  const document = { schema: 'weft.fed-check/1', plan: hash, sums, threshold: thresholdOf(least) }
  if (out.structured) {
    out.document({ ...document, warnings, sites })
    return
  }
  out.line(`plan ${printable(plan.name)}  ${hash}`)
  const isOfClusters = !isAnalysis(plan) && plan.clusters !== undefined
  const stay = isOfClusters ? '' : `; with ${least} sites, ${thresholdOf(least)} have to stay to the end of each`
  out.line(`${sums} sums${stay}`)
  if (sites.length > 0) {
    const heads = [
      { head: 'SITE' },
      { head: 'RECORDS', right: true },
      { head: 'TEST', right: true },
      { head: 'BYTES A ROUND', right: true },
      { head: 'DATASET' },
    ]
    out.lines(
      table(
        heads,
        sites.map(({ site, records, test, bytes, dataset }) => [
          printable(site),
          String(records),
          String(test),
          String(bytes),
          printable(dataset),
        ]),
      ),
    )
  }
  for (const warning of warnings) out.note(warning)
}
