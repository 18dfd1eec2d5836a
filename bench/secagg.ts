/**
 * What secure aggregation costs: rounds of real members and a real aggregator in this process, a tenth of the members
 * gone after they shared their keys (`--gone N`: so many). `node bench/secagg.ts [members] [parameters] [--bits 32 | 22]
 * [--rounds N]`. Time is processor time of this process, member by member: medians of rounds, the widths in turn. With 32
 * members, a million parameters and `--gone 0` the aggregator is held against what Flower's took (below).
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import {
  leastBits,
  nodePrimitives as crypto,
  packedBytes,
  SecureAggregator,
  SecureClient,
  updateOfReals,
  volatileSignedRounds,
  wordsFrom,
} from '../src/federated/index.ts'
import type { MaskedTrailer, RoundHeader, RoundSecrets } from '../src/federated/index.ts'
import { systemRandom } from '../src/util/index.ts'
import { median } from './support/median.ts'

const random = systemRandom()
const WIDTHS = [32, 22]

/**
 * Processor time, ms, of the server of Flower's SecAgg+ (flwr 1.28.0, its own workflow in one process, all shares, nobody
 * dropped) for the same members and parameters, on another machine of two cores, busy (load 5 to 7): a figure to be in
 * the order of, not one of this machine.
 */
const FLOWER_SERVER_MS = 2710

/** Milliseconds of processor time, and the result. */
function timed<T>(action: () => T): [milliseconds: number, result: T] {
  const start = process.cpuUsage()
  const result = action()
  const { user, system } = process.cpuUsage(start)
  return [(user + system) / 1000, result]
}

function fresh(): RoundSecrets {
  const pair = (): RoundSecrets['s'] => {
    const secret = random.bytes(32)
    return { secret, publicKey: crypto.x25519Public(secret) }
  }
  return { s: pair(), c: pair(), b: random.bytes(32), nonce: random.bytes(16) }
}

interface Figures {
  readonly client: number
  readonly aggregator: number
  readonly sent: number
  readonly peak: number
  readonly exact: boolean
}

function round(n: number, d: number, gone: number, bits: number): Figures {
  const t = Math.floor((2 * n) / 3) + 1
  const header: RoundHeader = {
    federation: 'bench',
    job: 'bench',
    round: 1,
    model: random.bytes(32),
    plan: random.bytes(32),
    t,
    bits,
    f: bits === 32 ? 16 : 12,
    c: 8,
    d,
  }
  const seeds = Array.from({ length: n }, () => random.bytes(32))
  const members = seeds.map((seed) => crypto.ed25519Public(seed))
  const update = Float32Array.from({ length: d }, (_, index) => ((index % 2000) - 1000) / 1024)
  const spent = seeds.map(() => 0)
  const on = <T>(place: number, action: () => T): T => {
    const [milliseconds, result] = timed(action)
    spent[place]! += milliseconds
    return result
  }
  let aggregator = 0
  const server = <T>(action: () => T): T => {
    const [milliseconds, result] = timed(action)
    aggregator += milliseconds
    return result
  }
  const sum = server(() => new SecureAggregator({ crypto }, { header, members }))
  const clients = seeds.map((seed, place) =>
    on(place, () => {
      const stream = crypto.chacha20(random.bytes(32), new Uint8Array(12))
      const words = wordsFrom((length) => stream.next(length))
      return new SecureClient(
        { crypto, coefficient: () => random.bytes(32), signedRounds: volatileSignedRounds() },
        {
          header,
          members,
          identity: { publicKey: members[place]!, sign: (message) => crypto.sign(seed, message) },
          secrets: fresh(),
          records: 100,
          minimumRecords: 64,
          update: updateOfReals(update, header, () => words.next() / 2 ** 32),
        },
      )
    }),
  )
  for (const client of clients) server(() => sum.advertise(client.advertisement))
  const roster = server(() => sum.closeAdvertisements())
  const placeOf = new Map(clients.map(({ advertisement }, place) => [advertisement, place]))
  const order = roster.map((entry) => placeOf.get(entry)!)
  let sent = 224 + 81 * (n - 1) + 64 + 33 * n
  for (const [position, place] of order.entries()) {
    const message = on(place, () => clients[place]!.roster(roster))
    server(() => sum.shares(position, message))
  }
  const sealed = server(() => sum.closeShares())
  let peak = 0
  for (const [position, list] of [...sealed].slice(gone)) {
    const place = order[position]!
    const packed = Buffer.alloc(packedBytes(d, bits))
    const before = process.memoryUsage()
    const trailer = on(place, () => readInto(packed, clients[place]!.ciphertexts(list)))
    const after = process.memoryUsage()
    peak = Math.max(peak, after.arrayBuffers - before.arrayBuffers + after.heapUsed - before.heapUsed)
    server(() => sum.masked(position, packed, trailer))
  }
  sent += packedBytes(d, bits)
  const survivors = server(() => sum.closeVectors())
  for (const { position } of survivors) {
    const ballot = on(order[position]!, () => clients[order[position]!]!.survivors(survivors))
    server(() => sum.consistency(ballot))
  }
  const signatures = server(() => sum.closeSignatures())
  for (const { position } of signatures) {
    const reveal = on(order[position]!, () => clients[order[position]!]!.consistency(signatures))
    server(() => sum.reveal(position, reveal))
  }
  const { words } = server(() => sum.finish())
  const wanted = (n - gone) * update[123]! * 2 ** header.f
  const got = words[123]! >= 2 ** (bits - 1) ? words[123]! - 2 ** bits : words[123]!
  const staying = order.slice(gone).map((place) => spent[place]!)
  const client = staying.sort((one, other) => one - other)[staying.length >> 1]!
  return { client, aggregator, sent, peak, exact: Math.abs(got - wanted) <= n }
}

/** As a connection would take it: each piece is gone when the next is made. */
function readInto(packed: Buffer, vector: Generator<Uint8Array, MaskedTrailer>): MaskedTrailer {
  let at = 0
  for (;;) {
    const next = vector.next()
    if (next.done === true) return next.value
    packed.set(next.value, at)
    at += next.value.length
  }
}

const seconds = (milliseconds: number): string => (milliseconds / 1000).toFixed(3)

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { gone: { type: 'string' }, bits: { type: 'string' }, rounds: { type: 'string', default: '5' } },
  })
  const [n = 32, d = 1_000_000] = positionals.map(Number)
  const gone = values.gone === undefined ? Math.floor(n / 10) : Number(values.gone)
  const rounds = Number(values.rounds)
  const widths = values.bits === undefined ? WIDTHS : [Number(values.bits)]
  const runs = new Map(widths.map((bits) => [bits, [] as Figures[]]))
  const print = (line: string): void => void process.stdout.write(`${line}\n`)
  const load = loadavg()[0]!.toFixed(1)
  for (let turn = 0; turn < rounds; turn++) for (const [bits, figures] of runs) figures.push(round(n, d, gone, bits))
  print(`${cpus()[0]?.model ?? 'unknown processor'} x ${cpus().length}, Node ${process.version}, medians of ${rounds}`)
  print(`load ${load} to ${loadavg()[0]!.toFixed(1)}`)
  print(
    `${n} members, ${d} parameters, ${gone} gone after sharing; least bits at f 12: ${leastBits(n, { f: 12, c: 8 }, 0)}\n`,
  )
  print('| bits | member s | aggregator s (least, most) | sent / float32 | memory / float32 | right |')
  print('| --- | --- | --- | --- | --- | --- |')
  for (const [bits, figures] of runs) {
    const middle = (of: (figures: Figures) => number): number => median(figures.map(of))
    const sums = figures.map(({ aggregator }) => aggregator)
    const row = [
      bits,
      seconds(middle(({ client }) => client)),
      `${seconds(median(sums))} (${seconds(Math.min(...sums))}, ${seconds(Math.max(...sums))})`,
      (middle(({ sent }) => sent) / (4 * d)).toFixed(4),
      (middle(({ peak }) => peak) / (4 * d)).toFixed(2),
      figures.every(({ exact }) => exact) ? 'yes' : 'NO',
    ]
    print(`| ${row.join(' | ')} |`)
    if (n === 32 && d === 1_000_000 && gone === 0) {
      const times = (FLOWER_SERVER_MS / median(sums)).toFixed(1)
      print(
        `  ${bits} bits: Flower's ${seconds(FLOWER_SERVER_MS)} s, of another machine, / ours: ${times} (8 is wanted)`,
      )
    }
  }
}

main()
