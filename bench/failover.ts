/**
 * What the loss of a stage costs: real peers on this machine, a prompt of some rows, and a stage that is ended with kill -9
 * in mid-answer, again and again. Each answer is compared with the undisturbed one. Reported are the pause that a reader
 * sees, what was fed again, and whether the origin's memory and descriptors came back.
 * `node bench/failover.ts [MODEL.gguf] [--kills 20] [--peers 5] [--prompt 256] [--tokens 48]`: kills of stage hosts, then of
 * whole peers that have a second holder.
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { answer, createLab, greedy, joined, placement, TINY, until } from '../test/integration/support.ts'
import type { Answer, RealPeer } from '../test/integration/support.ts'
import { languageModel } from '../src/models/index.ts'
import { KeptRows } from '../src/pipeline/ring/kept-rows.ts'
import type { GenerateRequest } from '../src/pipeline/index.ts'
import { systemClock } from '../src/util/index.ts'
import { footprint } from './support/footprint.ts'

const clock = systemClock()

interface Kill {
  /** Milliseconds from the kill to the next token. */
  readonly pause: number
  readonly exact: boolean
  readonly failovers: number
  readonly replayed: number
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      kills: { type: 'string', default: '20' },
      peers: { type: 'string', default: '5' },
      prompt: { type: 'string', default: '256' },
      tokens: { type: 'string', default: '48' },
    },
  })
  const [source = TINY] = positionals
  const lab = await createLab()
  try {
    const a = await lab.start('a')
    let [b, c] = [await lab.start('b'), await lab.start('c')]
    await joined([a, b, c])
    const { blocks } = await a.access.importModel({ source, name: 'bench' }, () => undefined)
    const manifest = languageModel(await a.access.manifest('bench'))
    const middle = Math.round(blocks / 2)
    const deploy = (): Promise<unknown> =>
      a.access.deploy(
        'bench',
        placement('bench', [
          [a, 0, 1],
          [b, 1, middle],
          [c, middle, blocks - 1],
          [a, blocks - 1, blocks],
        ]),
        () => undefined,
      )
    const rows = Math.min(Number(values.prompt), manifest.shape.context - Number(values.tokens) - 1)
    const ids = Array.from({ length: rows }, (_, index) => 300 + ((index * 37) % 500))
    const request = greedy('bench', Number(values.tokens), { input: { kind: 'ids', ids }, deadline: 120_000 })
    await deploy()
    const whole = await answer(a, request)
    const stats = whole.end!.stats
    process.stdout.write(
      `${cpus()[0]!.model}, ${cpus().length} cores; ${manifest.model}, ${rows} rows of prompt, over three processes: ` +
        `prefill ${stats.prefill_ms.toFixed(0)} ms, ${stats.ms_per_token_p50.toFixed(2)} ms a token\n`,
    )
    keepingCost(manifest.shape.width * (manifest.boundary === 'f16' ? 2 : 4), stats.ms_per_token_p50)
    const before = footprint(a.pid)
    const hosts: Kill[] = []
    for (let kill = 0; kill < Number(values.kills); kill++) {
      let host = 0
      await until('there is a host', async () => (host = await hostOf(a, b)) > 0)
      hosts.push(await killed(a, request, whole, 5 + ((kill * 7) % 30), () => process.kill(host, 'SIGKILL')))
      await until('the host is back', async () => ![0, host].includes(await hostOf(a, b)))
    }
    report(`${values.kills} kills of a stage host`, hosts)
    const after = footprint(a.pid)
    process.stdout.write(
      `origin before and after: ${before.rss} -> ${after.rss} MiB, ${before.descriptors} -> ${after.descriptors} descriptors\n`,
    )
    const whole2: Kill[] = []
    for (let kill = 0; kill < Number(values.peers); kill++) {
      await deploy()
      whole2.push(await killed(a, request, whole, 10, () => c.child.kill('SIGKILL')))
      c = await lab.start('c')
      await joined([a, b, c])
    }
    report(`${values.peers} kills of a peer`, whole2)
  } finally {
    await lab.stop()
  }
}

/** Rows of a decode step that a hop keeps, against the step. */
function keepingCost(rowBytes: number, tokenMs: number): void {
  const kept = new KeptRows({ directory: '.', name: 'none' })
  const payload = new Uint8Array(rowBytes).fill(1)
  const rows = 20_000
  const started = clock.now()
  for (let position = 0; position < rows; position++) kept.add({ position, count: 1, payload })
  const micros = ((clock.now() - started) * 1000) / rows
  kept.close()
  const share = ((micros / 1000 / tokenMs) * 100).toFixed(3)
  process.stdout.write(`keeping a row of ${rowBytes} bytes: ${micros.toFixed(2)} us, ${share} % of a token a hop\n`)
}

async function hostOf(origin: RealPeer, peer: RealPeer): Promise<number> {
  const { stages } = await origin.access.status()
  return stages.find((stage) => stage.peer === peer.id && stage.state === 'ready')?.pid ?? 0
}

async function killed(
  origin: RealPeer,
  request: GenerateRequest,
  whole: Answer,
  at: number,
  kill: () => void,
): Promise<Kill> {
  let killedAt = Infinity
  let rerouted = false
  let next = Infinity
  const onToken = (count: number): void => {
    if (rerouted) next = Math.min(next, clock.now())
    if (count !== at) return
    kill()
    killedAt = clock.now()
  }
  // Tokens that were on their way already come before it.
  const got = await answer(origin, request, onToken, undefined, (event) => {
    rerouted ||= event.type === 'reroute'
  })
  return {
    pause: next - killedAt,
    exact: got.error === undefined && got.ids.join() === whole.ids.join(),
    failovers: got.end?.stats.counters['failovers'] ?? 0,
    replayed: got.end?.stats.counters['replayed_rows'] ?? 0,
  }
}

function report(what: string, kills: readonly Kill[]): void {
  const pauses = kills.map(({ pause }) => pause).toSorted((x, y) => x - y)
  const at = (share: number): string =>
    pauses[Math.min(pauses.length - 1, Math.floor(pauses.length * share))]!.toFixed(0)
  const exact = kills.filter(({ exact: same }) => same).length
  const failovers = kills.reduce((sum, kill) => sum + kill.failovers, 0)
  const replayed = kills.reduce((sum, kill) => sum + kill.replayed, 0)
  process.stdout.write(
    `${what}: ${exact} of ${kills.length} answers whole and exact; from the kill to the next token ${at(0.5)} ms (median), ` +
      `${at(0.95)} ms (95th percentile); ${failovers} failovers, ${replayed} rows fed again\n`,
  )
}

await main()
