/**
 * Promises of reliability (docs/reliability.md), each on real peers in network namespaces: what was injected, what was
 * measured, and whether it holds. A run in which the fault did not fire has failed.
 *
 *   node bench/promises.ts [R4 R5 ...] [--short] [--minutes 15]
 *
 * `--short` is what tests run: fewer requests, shorter waits, the same checks; `--minutes` is how long R21 lasts. Needs root
 * and Linux. Ends with status 1 when one does not hold.
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/util/index.ts'
import { PROMISES } from './promises/all.ts'
import { Report } from './promises/report.ts'

const clock = systemClock()
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false }, minutes: { type: 'string' } },
})
const wanted = PROMISES.filter(({ id }) => positionals.length === 0 || positionals.includes(id))
const load = (): string => loadavg()[0]!.toFixed(1)

process.stdout.write(`${cpus()[0]?.model ?? 'unknown processor'} x ${cpus().length}, Node ${process.version}\n`)
if (wanted.length === 0) {
  process.stderr.write(
    `no such promise: ${positionals.join(', ')}; there are ${PROMISES.map(({ id }) => id).join(', ')}\n`,
  )
  process.exitCode = 2
}
for (const promised of wanted) {
  const report = new Report()
  const [started, before] = [clock.now(), load()]
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
  await promised.run(report, values.short, minutes).catch((error: unknown) => {
    report.broken.push(`it came to nothing: ${error instanceof Error ? error.message : String(error)}`)
  })
  if (report.injected.length === 0) report.broken.push('no fault fired')
  const not = [...report.broken, ...report.missed]
  const took = ((clock.now() - started) / 1000).toFixed(0)
  const verdict = not.length === 0 ? 'holds' : 'DOES NOT HOLD'
  const lines = [
    `\n${promised.id} ${promised.title}: ${verdict} (${took} s, load ${before} to ${load()}${values.short ? ', short' : ''})`,
    ...report.injected.map((line) => `  injected: ${line}`),
    ...report.measured.map((line) => `  measured: ${line}`),
    ...not.map((line) => `  NOT SO: ${line}`),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  if (not.length > 0) process.exitCode = 1
}
