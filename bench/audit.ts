/**
 * Honest peers, audited all the time: is any of them accused (attack E7)? Real peers in processes of their own, with one and
 * two threads and, with --node, on two versions of Node; users at once, so that rows are batched with others'; prompts of many
 * lengths; stage hosts that are killed meanwhile. A window is a row of a stage with a check behind it.
 *
 * Then what audits cost: tokens a second of one user with `off`, `sample` and `hold`, in turns.
 * `node bench/audit.ts [MODEL.gguf] [--windows 100000] [--minutes 10] [--users 8] [--node PATH] [--kill-every 20] [--turns 5]`
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { answer, codeOf, counter, createLab, greedy, joined, placement, TINY } from '../test/integration/support.ts'
import type { RealPeer } from '../test/integration/support.ts'
import { languageModel } from '../src/models/index.ts'
import type { AuditMode } from '../src/pipeline/index.ts'
import { systemClock } from '../src/util/index.ts'

const clock = systemClock()

interface Tally {
  answers: number
  /** Codes of the errors. */
  readonly failed: string[]
  accused: number
  kills: number
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      windows: { type: 'string', default: '100000' },
      minutes: { type: 'string', default: '10' },
      users: { type: 'string', default: '8' },
      node: { type: 'string' },
      'kill-every': { type: 'string', default: '20' },
      turns: { type: 'string', default: '5' },
    },
  })
  const lab = await createLab()
  try {
    const [a, b] = await Promise.all([lab.start('a'), lab.start('b', ['--threads', '2'])])
    const c = values.node === undefined ? await lab.start('c') : await lab.startOn('c', values.node)
    await joined([a, b, c])
    const { blocks } = await a.access.importModel({ source: positionals[0] ?? TINY, name: 'bench' }, () => undefined)
    const { shape, model } = languageModel(await a.access.manifest('bench'))
    const middle = Math.round(blocks / 2)
    const stages = placement('bench', [
      [a, 0, 1],
      [b, 1, middle],
      [c, middle, blocks - 1],
      [a, blocks - 1, blocks],
    ])
    const replicas = [
      { peer: c.id, from: 1, to: middle },
      { peer: b.id, from: middle, to: blocks - 1 },
    ]
    await a.access.deploy('bench', { ...stages, replicas }, () => undefined)
    process.stdout.write(
      `${cpus()[0]!.model}, ${cpus().length} cores; ${model}; threads 1 and 2` +
        `${values.node === undefined ? '' : ', two versions of Node'}\n`,
    )
    if (Number(values.windows) > 0) await watch(a, [b, c], shape.context, values)
    if (Number(values.turns) > 0) await cost(a, Number(values.turns))
  } finally {
    await lab.stop()
  }
}

interface Wishes {
  readonly windows: string
  readonly minutes: string
  readonly users: string
  readonly 'kill-every': string
}

async function watch(a: RealPeer, others: readonly RealPeer[], context: number, wishes: Wishes): Promise<void> {
  const tally: Tally = { answers: 0, failed: [], accused: 0, kills: 0 }
  const wanted = Number(wishes.windows)
  const until = clock.now() + Number(wishes.minutes) * 60_000
  const rows = (): Promise<number> => counter(a, 'audited_rows')
  let isOver = false
  const killing = killHosts(a, others, Number(wishes['kill-every']), tally, () => isOver)
  const user = async (number: number): Promise<void> => {
    for (let turn = 0; !isOver && clock.now() < until; turn++) {
      await once(a, number * 1000 + turn, context, tally)
      if ((await rows()) >= wanted) isOver = true
    }
  }
  const began = clock.now()
  await Promise.all(Array.from({ length: Number(wishes.users) }, (_, number) => user(number)))
  isOver = true
  await killing
  const status = await a.access.status()
  const { audits, audited_rows: audited, audit_mismatches: mismatches, failovers } = status.counters
  process.stdout.write(
    `${audited} windows in ${audits} checks, ${((clock.now() - began) / 1000).toFixed(0)} s: ${mismatches} mismatches, ` +
      `${tally.accused} accusations, ${(status.quarantine ?? []).length} in quarantine; ${tally.answers} answers, ` +
      `${tally.failed.length} failed (${tally.failed.join(' ')}), ${tally.kills} hosts killed, ${failovers} stages replaced\n`,
  )
  if (mismatches !== 0 || tally.accused !== 0) process.exitCode = 1
}

async function once(a: RealPeer, seed: number, context: number, tally: Tally): Promise<void> {
  const length = 1 + ((seed * 131) % Math.min(400, context - 100))
  const ids = Array.from({ length }, (_, index) => 300 + ((index * (37 + (seed % 11)) + seed) % 500))
  const audit: AuditMode = seed % 3 === 0 ? 'hold' : 'sample'
  const more = { input: { kind: 'ids', ids }, audit, auditRate: 0.3, deadline: 120_000 } as const
  const whole = await answer(a, greedy('bench', 16 + (seed % 48), more))
  tally.answers++
  if (whole.error !== undefined) tally.failed.push(codeOf(whole.error))
  tally.accused += whole.audits.length
}

async function killHosts(
  a: RealPeer,
  others: readonly RealPeer[],
  seconds: number,
  tally: Tally,
  isOver: () => boolean,
): Promise<void> {
  for (let slept = 0; !isOver(); slept++) {
    await clock.sleep(1000)
    if (seconds === 0 || slept % seconds !== seconds - 1) continue
    const { id } = others[tally.kills % others.length]!
    const host = (await a.access.status()).stages.find(({ peer, state }) => peer === id && state === 'ready')
    if (host === undefined) continue
    try {
      process.kill(host.pid, 'SIGKILL')
      tally.kills++
    } catch {
      // It has ended already.
    }
  }
}

async function cost(a: RealPeer, turns: number): Promise<void> {
  const modes = ['off', 'sample', 'hold'] as const
  const rates = new Map<string, number[]>(modes.map((mode) => [mode, []]))
  for (let turn = 0; turn < turns; turn++) {
    for (const audit of modes) {
      const whole = await answer(a, greedy('bench', 96, { audit, deadline: 120_000 }))
      rates.get(audit)!.push(whole.end?.stats.tokens_per_second ?? 0)
    }
  }
  const median = (list: readonly number[]): number => list.toSorted((x, y) => x - y)[Math.floor(list.length / 2)] ?? 0
  const off = median(rates.get('off')!)
  for (const mode of modes) {
    const rate = median(rates.get(mode)!)
    process.stdout.write(`--audit ${mode}: ${rate.toFixed(0)} tokens/s, ${(rate / off).toFixed(2)} of off\n`)
  }
}

await main()
