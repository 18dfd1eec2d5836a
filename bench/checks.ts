/**
 * What a private cluster's checks cost: microseconds for what is asked at a stage when a session begins (membership, role,
 * policy, quota, a line in the audit log), and tokens a second of the same answers over two peers, in an open mesh and in
 * a cluster with a policy, in turns. `node bench/checks.ts [MODEL.gguf] [--turns 7] [--tokens 160]`
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createDefence } from '../src/net/index.ts'
import { siteGates } from '../src/peer/site-gates.ts'
import { Site } from '../src/peer/site.ts'
import { createLogger, createTelemetry } from '../src/telemetry/index.ts'
import {
  CERTIFICATE_LIFETIME,
  composeCertificates,
  composeGenesis,
  createCluster,
  foundLog,
  loadOrCreateIdentity,
  memoryLogStore,
  newIdentity,
  sealEntry,
} from '../src/trust/index.ts'
import { systemClock, systemRandom } from '../src/util/index.ts'
import { json, weft } from '../test/cli/support.ts'
import { answer, createLab, greedy, joined, placement, TINY } from '../test/integration/support.ts'
import type { Lab, RealPeer } from '../test/integration/support.ts'
import { median } from './support/median.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { turns: { type: 'string', default: '7' }, tokens: { type: 'string', default: '160' } },
})
const clock = systemClock()
const SESSIONS = 20_000
/** As many as a site of some size has. */
const RULES = 40

function policyOf(peer: string): object {
  const rules = Array.from({ length: RULES - 1 }, (_, index) => ({
    name: `rule-${index}`,
    allow: ['compute', 'route', 'place', 'fetch'],
    peers: [newIdentity().id],
    models: [`model-${index}*`],
  }))
  const ours = { name: 'ours', allow: ['connect', 'relay', 'compute', 'route', 'place', 'fetch'], peers: [peer] }
  return { schema: 'weft.policy/1', egress: { activations: [peer] }, rules: [...rules, ours] }
}

/** Microseconds a session of another member, at the stage. */
async function checked(): Promise<number> {
  const root = await mkdtemp(join(tmpdir(), 'weft-checks-'))
  try {
    const identity = await loadOrCreateIdentity({ directory: join(root, 'keys') })
    const other = newIdentity().id
    await writeFile(join(root, 'policy.json'), JSON.stringify(policyOf(other)), { mode: 0o600 })
    const paths = { root, state: join(root, 'state'), keys: join(root, 'keys') }
    const logger = createLogger({ name: 'bench', level: 'fatal' })
    const telemetry = createTelemetry({ clock })
    const site = await Site.open({
      clock,
      random: systemRandom(),
      identity,
      paths,
      logger,
      telemetry,
      online: false,
      roleOf: () => 'member',
    })
    const needs = { random: systemRandom(), wall: () => clock.wall() }
    const founder = { peer: identity.id, name: 'a', site: '' }
    const rootKey = newIdentity()
    const genesis = composeGenesis(needs, { name: 'bench', root: rootKey.id, founder, threshold: { k: 1, n: 1 } })
    const store = memoryLogStore()
    const log = foundLog(store, sealEntry(genesis, rootKey, identity))
    const cluster = createCluster({ ...needs, identity }, { store, log })
    cluster.commit(composeCertificates(needs, cluster.log.state, CERTIFICATE_LIFETIME.founded))
    for (const peer of [other, ...Array.from({ length: 99 }, () => newIdentity().id)])
      cluster.admit({ peer, name: '', role: 'member', site: '' })
    const defence = createDefence({ clock, telemetry, told: () => undefined })
    const gates = siteGates({ site, cluster: null }, identity.id, () => undefined)
    const started = clock.now()
    for (let session = 0; session < SESSIONS; session++) {
      defence.allows(other, 'compute')
      cluster.membership.admits(other, 'originate')
      gates.admit(other, 'a'.repeat(64))
    }
    const each = ((clock.now() - started) / SESSIONS) * 1_000
    site.close()
    return each
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

interface Side {
  readonly lab: Lab
  readonly origin: RealPeer
  readonly rates: number[]
}

async function side(isPrivate: boolean): Promise<Side> {
  const lab = await createLab()
  if (isPrivate) {
    const run = (name: string, ...args: string[]): ReturnType<typeof weft> => weft([...args, '--home', lab.home(name)])
    await run('a', 'cluster', 'create', 'bench', '--name', 'a')
    const a = await lab.start('a')
    const { token } = json((await run('a', 'invite', 'create', '--json')).stdout)
    await run('b', 'join', token as string, '--name', 'b')
    a.child.kill('SIGTERM')
    await new Promise((resolve) => a.child.once('exit', resolve))
  }
  const [a, b] = await Promise.all([lab.start('a'), lab.start('b')])
  await joined([a, b])
  if (isPrivate) {
    for (const [peer, other] of [
      [a, b],
      [b, a],
    ] as const)
      await writeFile(join(peer.home, 'policy.json'), JSON.stringify(policyOf(other.id)), { mode: 0o600 })
    await clock.sleep(3_000)
  }
  const { blocks } = await a.access.importModel({ source: positionals[0] ?? TINY, name: 'bench' }, () => undefined)
  const stages = placement('bench', [
    [a, 0, 1],
    [b, 1, blocks - 1],
    [a, blocks - 1, blocks],
  ])
  await a.access.deploy('bench', stages, () => undefined)
  await answer(a, greedy('bench', 32))
  return { lab, origin: a, rates: [] }
}

async function rate(origin: RealPeer): Promise<number> {
  const { end, error } = await answer(origin, greedy('bench', Number(values.tokens), { deadline: 120_000 }))
  if (end === undefined) throw error
  return ((Number(values.tokens) - 1) * 1000) / end.stats.decode_ms
}

process.stdout.write(`${cpus()[0]!.model}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}\n`)
process.stdout.write(`checks when a session begins: ${(await checked()).toFixed(1)} us, ${RULES} rules (50 at most)\n`)
const sides = [await side(false), await side(true)] as const
try {
  for (let turn = 0; turn < Number(values.turns); turn++)
    for (const one of sides) one.rates.push(await rate(one.origin))
  const [open, own] = sides.map(({ rates }) => median(rates)) as [number, number]
  process.stdout.write(
    `tokens/s over two peers, median of ${values.turns} in turns: open ${open.toFixed(1)}, private ${own.toFixed(1)}: ` +
      `${(own / open).toFixed(3)} (0.97 at least)\n`,
  )
} finally {
  for (const { lab } of sides) await lab.stop()
}
