import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { applyWhatIf, parseFleet, planPlacement } from '../../src/placement/index.ts'
import type { PlanBlock, PlanInput, PlanLink } from '../../src/placement/index.ts'

const FOLDER = new URL('../../peers/fleets/', import.meta.url)
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'))
const decoder: PlanBlock = { kind: 'decoder', memory: 1e8, flops: 4e8, kv_bytes: 1024, boundaryBytes: 4096 }
const ask = {
  context: 2048,
  concurrency: 1,
  objective: 'latency',
  blocks: Array.from({ length: 24 }, () => decoder),
} as const

const pi = { name: 'pi', device: 'pi5' }
const link = { rtt_ms: 1, bandwidth: 1e8 }
const FALLING = [
  { rows: 2, factor: 1.5 },
  { rows: 8, factor: 1.4 },
]
const fleet = (changes: object): string =>
  JSON.stringify({ schema: 'weft.fleet/1', origin: 'pi', peers: [pi, { name: 'b', device: 'laptop' }], ...changes })
const linkOf = (links: readonly PlanLink[], from: string, to: string): PlanLink | undefined =>
  links.find((one) => one.from === from && one.to === to)

describe('fleet files', () => {
  it('are a dozen at least, and each can be planned for', () => {
    expect(files.length).toBeGreaterThanOrEqual(12)
    for (const name of files) {
      const { peers, links, origin } = parseFleet(readFileSync(new URL(name, FOLDER), 'utf8'), name)
      const plan = planPlacement({ ...ask, peers, links, origin })
      expect(plan.prediction?.msPerToken, name).toBeGreaterThan(0)
    }
  })

  it('name devices, sites and links of both directions; the nearer rule goes before', () => {
    const { peers, links } = parseFleet(
      fleet({
        sites: { home: { rtt_ms: 0.4, bandwidth: 1e8 }, away: link },
        peers: [
          { ...pi, site: 'home' },
          { name: 'b', device: 'laptop', site: 'home', memory: 7 },
          { name: 'c', block_ms: 3, memory: 9, site: 'away' },
        ],
        links: [
          { from: 'home', to: 'away', rtt_ms: 20, bandwidth: 5e6 },
          { from: 'away', to: 'home', rtt_ms: 20, bandwidth: 3e7 },
          { from: 'c', to: 'b', rtt_ms: 9, bandwidth: 1e6, relayed: true },
        ],
      }),
      'f.json',
    )
    expect(peers[1]).toMatchObject({ id: 'b', speed: 8e9, threads: 8, memory: 7 })
    expect(peers[2]).toEqual({ id: 'c', speed: 0, threads: 1, memory: 9, reserved: 0, blockMs: 3 })
    expect(linkOf(links, 'pi', 'b')?.rtt).toBe(0.4)
    expect(linkOf(links, 'pi', 'c')?.bandwidth).toBe(5e6)
    expect(linkOf(links, 'c', 'pi')?.bandwidth).toBe(3e7)
    expect(linkOf(links, 'b', 'c')).toMatchObject({ rtt: 9, relayed: true })
  })

  const bad: readonly [string, string, string][] = [
    ['is no JSON', '{', 'WEFT-PLN-009'],
    ['has another schema', fleet({ schema: 'weft.fleet/9' }), 'WEFT-PLN-009'],
    ['has a field that nobody knows', fleet({ colour: 'red' }), 'WEFT-PLN-009'],
    ['has a negative speed', fleet({ peers: [{ ...pi, speed: -1 }] }), 'WEFT-PLN-009'],
    ['has a speed of almost nothing', fleet({ peers: [{ ...pi, speed: 1e-300 }] }), 'WEFT-PLN-009'],
    ['has a block of more than an hour', fleet({ peers: [{ ...pi, block_ms: 1e18 }] }), 'WEFT-PLN-009'],
    ['has a line of almost nothing', fleet({ peers: [{ ...pi, bandwidth: 1e-9 }] }), 'WEFT-PLN-009'],
    [
      'says the same of a peer twice, of which JSON.parse takes the last in silence',
      fleet({}).replace('"pi5"', '"pi5","device":"server"'),
      'WEFT-PLN-009',
    ],
    ['has two lists of peers', fleet({}).replace('"origin"', '"peers":[],"origin"'), 'WEFT-PLN-009'],
    ['has NaN', fleet({}).replace('"pi5"', 'NaN'), 'WEFT-PLN-009'],
    [
      'has a number beyond all numbers',
      fleet({ peers: [{ ...pi, memory: 1 }] }).replace(':1}', ':1e999}'),
      'WEFT-PLN-009',
    ],
    ['has a null for a speed', fleet({ peers: [{ ...pi, speed: NaN }] }), 'WEFT-PLN-009'],
    ['has no peers', fleet({ peers: [] }), 'WEFT-PLN-009'],
    [
      'has too many peers',
      fleet({ peers: Array.from({ length: 2001 }, (_, i) => ({ ...pi, name: `p${i}` })) }),
      'WEFT-PLN-009',
    ],
    ['has rows at once that fall', fleet({ peers: [{ ...pi, batch: FALLING }] }), 'WEFT-PLN-009'],
    ['has a link that loses all', fleet({ links: [{ from: 'pi', to: 'b', ...link, loss: 1 }] }), 'WEFT-PLN-009'],
    ['has a peer twice', fleet({ peers: [pi, pi] }), 'WEFT-PLN-010'],
    ['has an origin that is none of its peers', fleet({ origin: 'z' }), 'WEFT-PLN-010'],
    ['has an unknown device', fleet({ peers: [{ ...pi, device: 'toString' }] }), 'WEFT-PLN-010'],
    ['has an unknown site', fleet({ peers: [{ ...pi, site: 'moon' }] }), 'WEFT-PLN-010'],
    ['has a peer without a speed', fleet({ peers: [{ name: 'pi', memory: 1 }] }), 'WEFT-PLN-010'],
    ['has a peer with the name of a site', fleet({ sites: { pi: link } }), 'WEFT-PLN-010'],
    ['has a link to nobody', fleet({ links: [{ from: 'pi', to: 'z', ...link }] }), 'WEFT-PLN-011'],
    ['has a link that leads back', fleet({ links: [{ from: 'pi', to: 'pi', ...link }] }), 'WEFT-PLN-011'],
    [
      'has a link twice',
      fleet({ links: Array.from({ length: 2 }, (_, i) => ({ from: 'pi', to: 'b', ...link, rtt_ms: i })) }),
      'WEFT-PLN-011',
    ],
  ]
  it.each(bad)('one that %s is refused with one coded error that names the file', (_, text, code) => {
    expect(() => parseFleet(text, 'my.json')).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining('my.json') }),
    )
  })
})

describe('--what-if', () => {
  const { peers, links, origin } = parseFleet(fleet({ links: [{ from: 'pi', to: 'b', ...link }] }), 'f')
  const input: PlanInput = { ...ask, peers, links, origin }

  it('adds, removes and changes peers and links, one after the other', () => {
    const changed = applyWhatIf(input, [
      'add:two-pi=pi5',
      'link:two-pi-b=rtt:5,bandwidth:125M,relayed',
      'memory:b=8GB',
      'speed:pi=2',
    ])
    expect(changed.peers.map(({ id }) => id)).toEqual(['pi', 'b', 'two-pi'])
    expect(changed.peers[1]).toMatchObject({ memory: 8e9, reserved: 0 })
    expect(changed.peers[0]!.speed).toBe(2 * peers[0]!.speed)
    expect(linkOf(changed.links!, 'two-pi', 'b')).toMatchObject({ rtt: 5, bandwidth: 125e6, relayed: true })
    expect(applyWhatIf(input, ['remove:b']).peers.map(({ id }) => id)).toEqual(['pi'])
    const like = applyWhatIf(input, ['add:c=b'])
    expect(linkOf(like.links!, 'pi', 'c')).toMatchObject({ rtt: 1, bandwidth: 1e8 })
  })

  it('keeps of a link what is not named, and knows peers by the names of people', () => {
    const changed = applyWhatIf(input, ['link:my pi-b=jitter:3'], new Map([['pi', 'my pi']]))
    expect(changed.links).toEqual([expect.objectContaining({ from: 'pi', to: 'b', rtt: 1, jitter: 3 })])
  })

  it.each([
    'pi5',
    'remove:z',
    'remove:pi',
    'add:b=pi5',
    'add:c',
    'add:c=toString',
    'link:pi-pi=rtt:1',
    'link:pi-z=rtt:1',
    'link:pi-b=rtt:-1',
    'link:pi-b=weight:1',
    'link:pi-b=loss:1',
    'link:pi-b=bandwidth:0',
    'memory:b=9999999T',
    'speed:b=0.0000000000001',
    'memory:b=lots',
    'speed:b=0',
    'paint:b=red',
  ])('refuses %s', (change) => {
    expect(() => applyWhatIf(input, [change])).toThrow(expect.objectContaining({ code: 'WEFT-PLN-012' }))
  })
})
