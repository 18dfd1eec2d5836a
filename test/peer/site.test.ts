/** The policy of a site, enforced in running peers where requests meet it, and written down as it decides. */
import { createHash } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import { checkAuditFile, loadOrCreateIdentity, viewsOf } from '../../src/trust/index.ts'
import type { AuditView } from '../../src/trust/index.ts'
import { crossing, f32, write } from '../pipeline/graph/support/models.ts'
import { isWhole } from '../whole.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const WAIT = { timeout: 30_000, interval: 50 }
/** Asked as a prompt of peers whose disks are searched for it afterwards. */
const CANARY = 'Zebulon Quillfeather has diabetes'

let folder: string
let [idA, idB]: string[] = []
let a: LocalPeer
let b: LocalPeer
let blocks = 0
let digest: string

async function start(name: string, more: Partial<CreatePeerInit> = {}): Promise<LocalPeer> {
  return createPeer({
    home: join(folder, name),
    name,
    network: `site-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    lan: 'off',
    threads: 1,
    logLevel: 'debug',
    ...more,
  })
}

async function identityOf(name: string): Promise<string> {
  mkdirSync(join(folder, name), { mode: 0o700 })
  return (await loadOrCreateIdentity({ directory: join(folder, name, 'keys') })).id
}

/** In force when it returns. */
async function apply(peer: LocalPeer, rules: readonly object[], rest: object = {}): Promise<void> {
  const text = JSON.stringify({ schema: 'weft.policy/1', rules, ...rest })
  await writeFile(join(peer.home, 'policy.json'), text, { mode: 0o600 })
  const sha256 = createHash('sha256').update(text).digest('hex')
  await vi.waitFor(() => expect(peer.status().site?.policy?.sha256).toBe(sha256), WAIT)
}

async function answer(placement: 'split' | 'local'): Promise<string> {
  const stages = [
    { peer: idA!, from: 0, to: 1 },
    { peer: idB!, from: 1, to: blocks - 1 },
    { peer: idA!, from: blocks - 1, to: blocks },
  ]
  try {
    const tokens: number[] = []
    for await (const event of a.generate({
      model: 'tiny',
      input: { kind: 'text', text: CANARY },
      sampling: GREEDY,
      maxTokens: 4,
      placement: placement === 'local' ? 'local' : { model: 'tiny', stages },
    }))
      if (event.type === 'token') tokens.push(event.id)
    return tokens.join()
  } catch (error) {
    return `${(error as { code?: string }).code} ${(error as Error).message}`
  }
}

function auditOf(peer: LocalPeer): AuditView[] {
  const places = { path: join(peer.home, 'state', 'audit.db'), anchor: join(peer.home, 'keys', 'audit.anchor') }
  const checked = checkAuditFile(peer.id, places, [])
  expect(checked.report.trouble).toBeNull()
  return viewsOf(checked)
}

const CONNECT = { name: 'join', allow: ['connect'] }
const routeTo = (peer: string): object => ({ egress: { activations: [peer] } })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-site-'))
  ;[idA, idB] = await Promise.all(['a', 'b'].map(identityOf))
  a = await start('a')
  await a.importModel({ source: TINY, name: 'tiny' })
  const manifest = await a.manifest('tiny')
  blocks = manifest.blocks.length
  digest = manifest.digest
  b = await start('b', { bootstrap: a.status().peer.addresses })
  await vi.waitFor(() => expect(a.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
}, 60_000)

afterAll(async () => {
  await Promise.all([a, b].map((peer) => peer?.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

describe('a site', () => {
  it('without a policy lets all through, and writes down whose sessions it computes', async () => {
    const whole = await answer('local')
    // The control of all that follows.
    expect(await answer('split')).toBe(whole)
    await vi.waitFor(() => {
      expect(auditOf(b).filter(({ what }) => what === 'session')).toMatchObject([
        // No digest covers a name: what the other calls it is not believed.
        { who: `peer:${idA}`, target: digest, result: 'allowed', rule: null },
      ])
    }, WAIT)
    expect(auditOf(a).map(({ what }) => what)).toEqual(
      expect.arrayContaining(['peer.start', 'model.import', 'peer.joined']) as string[],
    )
  })

  it('computes nothing for an origin that no rule allows, and something again when one does', async () => {
    await apply(b, [CONNECT])
    expect(await answer('split')).toBe(`WEFT-TRU-072 the policy of ${idB} does not allow to compute: rule default`)
    await apply(b, [CONNECT, { name: 'neighbour', allow: ['compute'], peers: [idA], models: ['tin*'] }])
    expect(await answer('split')).toBe(await answer('local'))
    await apply(b, [CONNECT, { name: 'others', allow: ['compute'], peers: [idA], models: ['other:*'] }])
    expect(await answer('split')).toMatch(/^WEFT-TRU-072/)
    await vi.waitFor(() => {
      const decided = auditOf(b).filter(({ what }) => what === 'decision.compute')
      expect(decided.map(({ result, rule }) => [result, rule])).toEqual([
        ['refused', 'default'],
        ['allowed', 'neighbour'],
      ])
    }, WAIT)
    expect(b.status().counters['policy_refused']).toBeGreaterThanOrEqual(2)
    await apply(b, [CONNECT, { name: 'all', allow: ['compute', 'fetch', 'place'] }])
  })

  it.runIf(isWhole)('asks for parts of other models as for stages of language models', async () => {
    await a.importModel({ source: await write(folder, 'crossing.onnx', crossing(8)) })
    const parts = (await a.manifest('crossing')).blocks.length
    const over = [
      { peer: idA!, from: 0, to: 1 },
      { peer: idB!, from: 1, to: parts },
    ]
    const infer = async (stages: typeof over | 'auto' = 'auto'): Promise<string> => {
      const inputs = new Map([
        ['x', f32([2, 8])],
        ['late', f32([2, 8], 100)],
      ])
      try {
        const { route } = await a.infer('crossing', inputs, stages === 'auto' ? { stages, parts: 2 } : { stages })
        return route.map(({ peer }) => peer).join()
      } catch (error) {
        return `${(error as { code?: string }).code} ${(error as Error).message}`
      }
    }
    // The control.
    expect(await infer()).toBe(`${idA},${idB}`)
    await apply(b, [CONNECT])
    expect(await infer()).toMatch(/^WEFT-TRU-072 .*compute/)
    await apply(a, [CONNECT])
    expect(await infer(over)).toMatch(/^WEFT-TRU-072 .*route: rule egress/)
    // What is planned is planned over nobody to whom it may not go.
    expect(await infer()).toBe(idA)
    await apply(b, [CONNECT, { name: 'all', allow: ['compute', 'fetch', 'place'] }])
  })

  it('sends activations to nobody that its policy does not list, and says which rule', async () => {
    await apply(a, [CONNECT, { name: 'mine', allow: ['route', 'fetch'] }])
    expect(await answer('split')).toMatch(/^WEFT-TRU-072 .*route: rule egress/)
    expect(await answer('local')).not.toMatch(/WEFT/)
    await apply(a, [CONNECT, { name: 'mine', allow: ['route', 'fetch'] }], routeTo(idB!))
    expect(await answer('split')).toBe(await answer('local'))
    await apply(a, [CONNECT, { name: 'hour', allow: ['route'], until: '2020-01-01T00:00:00Z' }], routeTo(idB!))
    expect(await answer('split')).toMatch(/^WEFT-TRU-072 .*route: rule default/)
  })

  describe('when its policy changes', () => {
    const ALL = { name: 'all', allow: ['compute', 'fetch', 'place', 'route'] }

    /** Tokens of an answer over both, in the middle of which a policy comes into force. */
    async function changedMeanwhile(change: () => Promise<void>): Promise<{ tokens: string; routes: string[] }> {
      const [ids, routes]: [number[], string[]] = [[], []]
      const stages = [
        { peer: idA!, from: 0, to: 1 },
        { peer: idB!, from: 1, to: blocks - 1 },
        { peer: idA!, from: blocks - 1, to: blocks },
      ]
      const input = { kind: 'text', text: CANARY } as const
      const request = { model: 'tiny', input, sampling: GREEDY, placement: { model: 'tiny', stages } }
      // Long enough that rows are wanted still when the change has come: some tokens are ahead of whoever reads.
      for await (const event of a.generate({ ...request, maxTokens: 64 })) {
        if (event.type === 'reroute') routes.push(event.route.map(({ peer }) => peer).join())
        if (event.type !== 'token') continue
        ids.push(event.id)
        if (ids.length === 1) await change()
      }
      return { tokens: ids.join(), routes }
    }

    it('ends a session of others that it forbids, and the text goes on elsewhere', async () => {
      await apply(a, [CONNECT, ALL], routeTo(idB!))
      await apply(b, [CONNECT, ALL])
      const alone = await changedMeanwhile(() => Promise.resolve())
      expect(alone.routes).toEqual([])
      const { tokens, routes } = await changedMeanwhile(() => apply(b, [CONNECT, { ...ALL, models: ['other'] }]))
      expect(tokens).toBe(alone.tokens)
      expect(routes.at(-1)).toBe([idA, idA, idA].join())
      await vi.waitFor(
        () => expect(b.status().counters['sessions_opened']).toBe(b.status().counters['sessions_freed']),
        WAIT,
      )
    })

    it('takes its own sessions away from whom they may not go over any more', async () => {
      await apply(b, [CONNECT, ALL])
      const alone = await changedMeanwhile(() => Promise.resolve())
      const { tokens, routes } = await changedMeanwhile(() =>
        apply(a, [CONNECT, { ...ALL, models: ['other'] }], routeTo(idB!)),
      )
      expect(tokens).toBe(alone.tokens)
      expect(routes.at(-1)).toBe([idA, idA, idA].join())
    })

    it('gives back stages of who may not place here any more, and cuts off who may not join', async () => {
      await apply(a, [CONNECT, ALL], routeTo(idB!))
      const stages = [
        { peer: idA!, from: 0, to: 1 },
        { peer: idB!, from: 1, to: blocks - 1 },
        { peer: idA!, from: blocks - 1, to: blocks },
      ]
      await a.deploy('tiny', { model: 'tiny', stages }, () => undefined)
      // Parts of another model may be there too, which nobody has placed.
      const here = (): unknown[] =>
        b.status().stages.filter(({ peer, model, state }) => peer === idB && model === 'tiny' && state === 'ready')
      expect(here()).toHaveLength(1)
      await apply(b, [CONNECT, { ...ALL, allow: ['compute', 'fetch'] }])
      await vi.waitFor(() => expect(here()).toEqual([]), WAIT)
      await a.undeploy('tiny')
      const joined = (): boolean => a.status().peers.some(({ state }) => state === 'connected')
      expect(joined()).toBe(true)
      await apply(b, [{ ...CONNECT, peers: [idB] }, ALL])
      await vi.waitFor(() => expect(joined()).toBe(false), WAIT)
      await apply(b, [CONNECT, ALL])
      await vi.waitFor(() => expect(joined()).toBe(true), WAIT)
    }, 90_000)
  })

  it('plans a model over nobody to whom its prompts may not go, whatever other models may', async () => {
    const room = async (models: readonly string[]): Promise<number> => {
      await apply(a, [CONNECT, { name: 'mine', allow: ['route', 'fetch'], models }], routeTo(idB!))
      return (await a.plan('tiny')).have_bytes
    }
    const [both, alone] = [await room(['tiny']), await room(['other*'])]
    expect(alone).toBeLessThan(both)
    const stages = [{ peer: idB!, from: 0, to: blocks }]
    await expect(a.deploy('tiny', { model: 'tiny', stages })).rejects.toMatchObject({ code: 'WEFT-TRU-072' })
  })

  it.runIf(isWhole)(
    'loads no stage that is placed by somebody who may not, and serves no file to who may not have it',
    async () => {
      await apply(a, [CONNECT, { name: 'mine', allow: ['route', 'fetch'] }], routeTo(idB!))
      await apply(b, [CONNECT])
      await a.importModel({ source: TINY, name: 'other' })
      const stages = [
        { peer: idA!, from: 0, to: 1 },
        { peer: idB!, from: 1, to: blocks - 1 },
        { peer: idA!, from: blocks - 1, to: blocks },
      ]
      await expect(a.deploy('other', { model: 'other', stages })).rejects.toMatchObject({
        code: 'WEFT-TRU-072',
        details: { action: 'place', rule: 'default', site: idB },
      })
      await vi.waitFor(() => {
        expect(auditOf(b)).toContainEqual(
          expect.objectContaining({ what: 'decision.place', who: `peer:${idA}`, result: 'refused' }),
        )
      }, WAIT)
      expect(b.status().stages.filter(({ peer, model }) => peer === idB && model === 'other')).toEqual([])
      await apply(a, [CONNECT])
      await b.removeModel('other', { last: true }).catch(() => undefined)
      // all who have it have said no: that is told as such, with whose rule it is
      await expect(b.manifest('other')).rejects.toMatchObject({
        code: 'WEFT-TRU-072',
        message: `the policy of ${idA} does not allow to fetch: rule default`,
      })
      await vi.waitFor(() => {
        expect(auditOf(a)).toContainEqual(
          expect.objectContaining({ what: 'decision.fetch', who: `peer:${idB}`, result: 'refused' }),
        )
      }, WAIT)
    },
  )

  it('keeps what was in force when its file is broken, opened to others, or gone', async () => {
    const path = join(b.home, 'policy.json')
    const { sha256 } = b.status().site!.policy!
    for (const [text, mode, why] of [
      ['{ "schema": "weft.policy/1", "ruels": [] }', 0o600, /did you mean "rules"/],
      ['{ "schema": "weft.policy/1", "rules": [] }', 0o622, /cannot be trusted/],
    ] as const) {
      await rm(path)
      await writeFile(path, text)
      await chmod(path, mode)
      await vi.waitFor(() => expect(b.status().site!.policy!.trouble).toMatch(why), WAIT)
      expect(b.status().site!.policy!.sha256).toBe(sha256)
    }
    await rm(path)
    await vi.waitFor(() => expect(b.status().site!.policy!.trouble).toMatch(/is missing/), WAIT)
    expect(b.status().site!.policy!.sha256).toBe(sha256)
    await b.stop({ drain: 0 })
    await expect(start('b')).rejects.toMatchObject({ code: 'WEFT-TRU-073' })
  })

  it('has no word of a prompt in its logs and its audit', async () => {
    await a.stop({ drain: 0 })
    for (const home of [a.home, b.home]) {
      for (const file of ['state/audit.db', 'logs/weft.log']) {
        const bytes = await readFile(join(home, file))
        expect(bytes.length).toBeGreaterThan(0)
        for (const word of CANARY.split(' ').filter((each) => each.length > 3)) expect(bytes.includes(word)).toBe(false)
      }
    }
    expect(auditOf(a).at(-1)).toMatchObject({ what: 'peer.stop' })
  })
})
