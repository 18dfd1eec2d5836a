/**
 * How long `weft join` takes with an invite, as people start it: a process of its own in a home with nothing in it, until it is a
 * member. Over the loopback, or between two hosts with a line of so many milliseconds (shared/netlab, as root, on Linux).
 *
 *   node bench/join.ts [--rounds 9] [--members 20] [--rtt 1] [--json]
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { newIdentity } from '../src/trust/index.ts'
import { systemClock } from '../src/util/index.ts'
import { BIN, json, weft } from '../test/cli/support.ts'
import { netlabFor } from '../test/integration/netlab.ts'
import { createLab, until } from '../test/integration/support.ts'
import { median } from './support/median.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    members: { type: 'string', default: '20' },
    rtt: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const clock = systemClock()
const { why, netlab, on } = netlabFor('join')
const isFar = values.rtt !== undefined
if (isFar && why !== undefined) throw new Error(`no two hosts here: ${why}`)

const lab = await createLab()
try {
  if (isFar) netlab('up', '2', '--rtt', values.rtt!)
  const at = (host: number): readonly string[] => (isFar ? on(host) : [])
  const run = (host: number, name: string, ...args: string[]): ReturnType<typeof weft> =>
    weft([...args, '--home', lab.home(name)], { command: [...at(host), process.execPath, BIN] })
  await run(1, 'a', 'cluster', 'create', 'bench', '--name', 'a')
  // others that are in already: their entries are fetched and checked too
  for (let n = 0; n < Number(values.members); n++)
    await run(1, 'a', 'invite', 'create', '--offline', '--peer', newIdentity().id, '--out', lab.home(`m${n}.json`))
  const a = await lab.start('a', [], at(1))
  const times: number[] = []
  const seen: number[] = []
  for (let round = 0; round < Number(values.rounds); round++) {
    const { token } = json((await run(1, 'a', 'invite', 'create', '--json')).stdout)
    const start = clock.now()
    const { status, stderr } = await run(2, `j${round}`, 'join', token as string)
    times.push(clock.now() - start)
    if (status !== 0) throw new Error(stderr)
    // and until it stands connected with the admin, once it is started
    const began = clock.now()
    const joiner = await lab.start(`j${round}`, [], at(2))
    await until('it is connected', async () =>
      (await joiner.access.status()).peers.some(({ id, state }) => id === a.id && state === 'connected'),
    )
    seen.push(clock.now() - began)
    joiner.child.kill('SIGTERM')
    await new Promise((resolve) => joiner.child.once('exit', resolve))
  }
  const figures = {
    join_ms_median: Math.round(median(times)),
    join_ms_most: Math.round(Math.max(...times)),
    up_and_connected_ms_median: Math.round(median(seen)),
    rounds: times.length,
    line: isFar ? `two hosts, ${values.rtt} ms` : 'loopback',
  }
  if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`)
  else {
    process.stdout.write(`${cpus()[0]!.model}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}\n`)
    for (const [what, figure] of Object.entries(figures)) process.stdout.write(`${what} ${figure}\n`)
  }
} finally {
  await lab.stop()
  if (isFar) netlab('down')
}
