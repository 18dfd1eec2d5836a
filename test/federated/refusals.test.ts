/** Each refusal of the protocol by the path that makes it: its code, whom it names, and in which stage. */
import { describe, expect, test } from 'vitest'
import {
  auditRound,
  combine,
  FEDERATED_ERRORS,
  FederatedError,
  pack,
  SECAGG_ERRORS,
  unpack,
  updateOfReals,
} from '../../src/federated/index.ts'
import type { Advertisement, Transcript } from '../../src/federated/index.ts'
import { crypto, hash, header, member, names, readOut, runRound, secretsOf } from './support/round.ts'
import { changed, flipped, N, ROUND, Scene, VALUES, without } from './support/scene.ts'

/** Code, place in the roster, stage; null: it names none. */
type Told = readonly [string, number | null, string | null]

function refused(action: () => unknown): Told {
  try {
    action()
  } catch (error) {
    if (!(error instanceof FederatedError)) throw error
    const { code, details, party, stage } = error
    // What a log or an answer shows is what the class says.
    expect([details['kind'], details['party'], details['stage']]).toEqual([error.kind, party, stage])
    return [code, party ?? null, stage ?? null]
  }
  throw new Error('it was not refused')
}

/** A roster in which one entry, rightly signed, has another's key, or one of small order. */
function withMaskKey(scene: Scene, place: number, publicKey: Uint8Array): Advertisement[] {
  const name = names(N)[place]!
  const secrets = secretsOf(name)
  const init = { secrets: { ...secrets, s: { ...secrets.s, publicKey } } }
  return changed(scene.roster, place, member(name, N, ROUND, VALUES, { init }).advertisement)
}

/** The first member reads out a vector of these reals. */
function upload(values: readonly number[]): void {
  const update = updateOfReals(values, ROUND, () => 0.5)
  const scene = new Scene(ROUND, (position) => (position === 0 ? { init: { update } } : {}))
  scene.masked()
}

/** Members have sent their shares; what the third would send as its vector. */
function vectorOfThird(round = ROUND): { scene: Scene; packed: Uint8Array; digest: Uint8Array; signature: Uint8Array } {
  const scene = new Scene(round)
  const sealed = scene.shared()
  return { scene, ...readOut(scene.clients[2]!.ciphertexts(sealed.get(2)!)) }
}

function transcript(changes: (given: Transcript) => Partial<Transcript>): Transcript {
  const round = runRound(ROUND, [VALUES, VALUES, VALUES, VALUES, VALUES])
  const given: Transcript = {
    t: 3,
    bits: 32,
    d: round.sum.words.length,
    sid: round.sid,
    roster: round.roster,
    sharers: new Set(round.shared.keys()),
    survivors: new Set(round.survivors.map(({ position }) => position)),
    masked: round.vectors,
    digests: new Map(round.survivors.map(({ position, digest }) => [position, digest])),
    reveals: round.reveals,
  }
  return { ...given, ...changes(given) }
}

/** Three holders give wrong shares of member 1: no three right ones are left. */
function withWrongShares({ reveals }: Transcript): Partial<Transcript> {
  const wrong = [...reveals].map(([holder, reveal]) => {
    const { kind, share } = reveal.get(1)!
    const spoilt = share.map((byte) => byte ^ (holder + 0x51))
    return [holder, holder < 3 ? new Map(reveal).set(1, { kind, share: spoilt }) : reveal] as const
  })
  return { reveals: new Map(wrong) }
}

const CASES: readonly [string, Told, () => unknown][] = [
  ['a value that is not finite', ['WEFT-FED-001', null, 'upload'], () => upload([0, Number.NaN, 0, 0, 0])],
  ['a value beyond the clip bound', ['WEFT-FED-002', null, 'upload'], () => upload([0, 8.5, 0, 0, 0])],
  ['a word too wide', ['WEFT-FED-003', null, null], () => pack(Uint32Array.of(9), 3)],
  ['a model without a coordinate', ['WEFT-FED-004', null, 'advertise'], () => member(0, N, header({ d: 0 }), [])],
  [
    'an update of another length',
    ['WEFT-FED-005', null, 'advertise'],
    () =>
      member(0, N, ROUND, [1, 2], {
        init: {
          update: updateOfReals([1, 2], ROUND, () => 0.5),
        },
      }),
  ],
  [
    'padding in a vector that its member signed',
    ['WEFT-FED-006', 1, 'vectors'],
    () => {
      const odd = header({ bits: 23, c: 4 })
      const round = runRound(odd, [VALUES, VALUES, VALUES, VALUES, VALUES])
      const packed = round.vectors.get(1)!.slice()
      packed[packed.length - 1]! |= 0x80
      const masked = new Map(round.vectors).set(1, packed)
      const digests = new Map([...masked].map(([party, bytes]) => [party, new Uint8Array(crypto.sha256(bytes))]))
      const sharers = new Set(round.shared.keys())
      auditRound(crypto, { ...transcript(() => ({})), bits: 23, sid: round.sid, sharers, masked, digests })
    },
  ],
  ['padding without a round', ['WEFT-FED-006', null, null], () => unpack(Uint8Array.of(0xff), 3, 1)],
  ['a sum that does not fit', ['WEFT-FED-007', null, 'advertise'], () => member(0, N, header({ bits: 20 }), VALUES)],
  [
    'bytes that were not signed',
    ['WEFT-FED-008', 2, 'vectors'],
    () => {
      const { scene, packed, ...trailer } = vectorOfThird()
      scene.aggregator.masked(2, flipped(packed), trailer)
    },
  ],
  [
    'two members in a roster',
    ['WEFT-FED-020', null, 'roster'],
    () => {
      const scene = new Scene()
      scene.clients[0]!.roster(scene.roster.slice(0, 2))
    },
  ],
  [
    'two survivors',
    ['WEFT-FED-020', null, 'survivors'],
    () => {
      const scene = new Scene()
      scene.clients[0]!.survivors(scene.masked().slice(0, 2))
    },
  ],
  [
    'two vectors',
    ['WEFT-FED-020', null, 'vectors'],
    () => {
      const { scene, packed, ...trailer } = vectorOfThird()
      scene.aggregator.masked(2, packed, trailer)
      scene.aggregator.closeVectors()
    },
  ],
  [
    'one identity twice',
    ['WEFT-FED-021', 2, 'roster'],
    () => {
      const scene = new Scene()
      scene.clients[0]!.roster([...scene.roster, scene.roster[2]!])
    },
  ],
  [
    'one key twice',
    ['WEFT-FED-022', 1, 'roster'],
    () => {
      const scene = new Scene()
      scene.clients[0]!.roster(withMaskKey(scene, 3, scene.roster[1]!.maskKey))
    },
  ],
  [
    'a key of small order',
    ['WEFT-FED-023', 2, 'roster'],
    () => {
      const scene = new Scene()
      scene.clients[1]!.roster(withMaskKey(scene, 2, new Uint8Array(32)))
    },
  ],
  [
    'a stranger',
    ['WEFT-FED-024', strangerPlace(), 'roster'],
    () => {
      const scene = new Scene()
      scene.clients[0]!.roster([...scene.roster, member(7, N, ROUND, VALUES).advertisement])
    },
  ],
  [
    'own keys changed',
    ['WEFT-FED-025', 0, 'roster'],
    () => {
      const scene = new Scene()
      scene.clients[0]!.roster(changed(scene.roster, 0, { maskKey: hash('x') }))
    },
  ],
  [
    'an advertisement for another round',
    ['WEFT-FED-026', 3, 'roster'],
    () => {
      const [mine, theirs] = [new Scene(), new Scene({ ...ROUND, round: 4 })]
      mine.clients[0]!.roster(changed(mine.roster, 3, theirs.roster[3]!))
    },
  ],
  [
    'a vector that was signed by another',
    ['WEFT-FED-026', 2, 'survivors'],
    () => {
      const scene = new Scene()
      scene.clients[0]!.survivors(changed(scene.masked(), 2, { digest: hash('x') }))
    },
  ],
  [
    'survivors that were signed by another',
    ['WEFT-FED-026', 2, 'consistency'],
    () => {
      const scene = new Scene()
      const ballots = scene.signed(scene.masked())
      scene.clients[0]!.consistency(changed(ballots, 2, { signature: ballots[1]!.signature }))
    },
  ],
  [
    'shares for another session',
    ['WEFT-FED-026', 1, 'shares'],
    () => {
      const scene = new Scene()
      scene.aggregator.shares(1, { ...scene.clients[1]!.roster(scene.roster), sid: hash('x') })
    },
  ],
  [
    'shares that do not open',
    ['WEFT-FED-027', 3, 'ciphertexts'],
    () => {
      const scene = new Scene()
      const list = scene.shared().get(0)!
      scene.clients[0]!.ciphertexts(changed(list, 2, { data: flipped(list[2]!.data) }))
    },
  ],
  [
    'a secret that no shares restore',
    ['WEFT-FED-028', 1, 'reveals'],
    () => auditRound(crypto, transcript(withWrongShares)),
  ],
  ['one share twice', ['WEFT-FED-029', null, null], () => combine([1, 1].map((x) => ({ x, y: new Uint8Array(1) })))],
  [
    'shares of one sender twice',
    ['WEFT-FED-030', 2, 'ciphertexts'],
    () => {
      const scene = new Scene()
      const list = scene.shared().get(0)!
      scene.clients[0]!.ciphertexts([...list, list[1]!])
    },
  ],
  [
    'survivors without me',
    ['WEFT-FED-030', 0, 'survivors'],
    () => {
      const scene = new Scene()
      scene.clients[0]!.survivors(without(scene.masked(), 0))
    },
  ],
  [
    'a signature of nobody',
    ['WEFT-FED-030', 8, 'consistency'],
    () => {
      const scene = new Scene()
      const ballots = scene.signed(scene.masked())
      scene.clients[0]!.consistency([...ballots, { ...ballots[2]!, position: 8 }])
    },
  ],
  [
    'a survivor that shared nothing',
    ['WEFT-FED-030', 4, 'shares'],
    () =>
      auditRound(
        crypto,
        transcript(() => ({ sharers: new Set([0, 1, 2, 3]) })),
      ),
  ],
  [
    'a second vector',
    ['WEFT-FED-031', 2, 'vectors'],
    () => {
      const { scene, packed, ...trailer } = vectorOfThird()
      scene.aggregator.masked(2, packed, trailer)
      scene.aggregator.masked(2, packed, trailer)
    },
  ],
  [
    'a roster again',
    ['WEFT-FED-031', null, 'roster'],
    () => {
      const scene = new Scene()
      scene.shared()
      scene.clients[0]!.roster(scene.roster)
    },
  ],
  ['survivors too early', ['WEFT-FED-032', null, 'survivors'], () => new Scene().clients[0]!.survivors([])],
  [
    'the round goes on before the vector is out',
    ['WEFT-FED-032', null, 'upload'],
    () => {
      const scene = new Scene()
      const vector = scene.clients[0]!.ciphertexts(scene.shared().get(0)!)
      vector.next()
      expect(refused(() => scene.clients[0]!.survivors([]))).toEqual(['WEFT-FED-032', null, 'survivors'])
      vector.next()
    },
  ],
  ['reveals too early', ['WEFT-FED-032', null, 'reveals'], () => new Scene().aggregator.finish()],
  [
    'too few records',
    ['WEFT-FED-033', null, 'survivors'],
    () => {
      const scene = new Scene(ROUND, () => ({ records: 12, minimumRecords: 64 }))
      scene.clients[0]!.survivors(scene.masked())
    },
  ],
]

/** Where a stranger's key falls among those of the members: rosters are sorted. */
function strangerPlace(): number {
  const scene = new Scene()
  const stranger = member(7, N, ROUND, VALUES).advertisement.identity
  return scene.roster.filter(({ identity }) => Buffer.compare(identity, stranger) < 0).length
}

describe('a refusal of a secure sum says its code, whom it is about and in which stage', () => {
  test.each(CASES)('%s: %j', (_, told, action) => {
    expect(refused(action)).toEqual(told)
  })

  test('and there is no code that none of these brings about', () => {
    const seen = new Set(CASES.map(([, [code]]) => code))
    expect([...seen].sort()).toEqual([...FEDERATED_ERRORS, ...SECAGG_ERRORS].map(({ code }) => code).sort())
  })
})
