import { describe, expect, test } from 'vitest'
import { FederatedError, volatileSignedRounds } from '../../src/federated/index.ts'
import type {
  Advertisement,
  Consistency,
  RoundHeader,
  SealedShares,
  SecureClient,
  Survivor,
} from '../../src/federated/index.ts'
import { crypto, hash, header, identityOf, member, names, readOut, seedOf } from './support/round.ts'
import type { MemberOptions } from './support/round.ts'
import { changed, flipped, N, ROUND, Scene, VALUES, without } from './support/scene.ts'

type Refusal = { readonly kind: string; readonly party: number | undefined } | 'answered'

function answer(action: () => unknown): Refusal {
  try {
    action()
    return 'answered'
  } catch (error) {
    if (!(error instanceof FederatedError)) throw error
    return { kind: error.kind, party: error.party }
  }
}

describe('a roster', () => {
  test('that is right is answered, in whatever order its entries come', () => {
    const scene = new Scene()
    const { sid, index, sealed } = scene.clients[1]!.roster([...scene.roster].reverse())
    expect([index, sealed.map(({ position }) => position)]).toEqual([1, [0, 2, 3, 4]])
    expect(scene.clients[0]!.roster(scene.roster).sid).toEqual(sid)
  })

  const stranger = (): Advertisement => member(7, N, ROUND, VALUES).advertisement
  const cases: readonly [string, (roster: readonly Advertisement[]) => Advertisement[], Refusal][] = [
    ['one identity twice', (roster) => [...roster, roster[2]!], { kind: 'duplicate-identity', party: 2 }],
    ['a stranger', (roster) => [...roster, stranger()], { kind: 'not-a-member', party: expect.any(Number) as number }],
    ['without me', (roster) => without(roster, 0), { kind: 'own-keys', party: undefined }],
    ['my keys changed', (roster) => changed(roster, 0, { maskKey: hash('x') }), { kind: 'own-keys', party: 0 }],
    ['my records changed', (roster) => changed(roster, 0, { records: 9000 }), { kind: 'own-keys', party: 0 }],
    [
      'a substituted channel key',
      (roster) => changed(roster, 3, { channelKey: crypto.x25519Public(hash('x')) }),
      { kind: 'bad-signature', party: 3 },
    ],
    [
      'more records than were signed',
      (roster) => changed(roster, 4, { records: 9000 }),
      { kind: 'bad-signature', party: 4 },
    ],
    [
      'a short key',
      (roster) => changed(roster, 4, { maskKey: hash('x').subarray(1) }),
      { kind: 'bad-signature', party: 4 },
    ],
    ['two members', (roster) => roster.slice(0, 2), { kind: 'threshold', party: undefined }],
  ]
  test.each(cases)('with %s is refused before a share is made', (_, change, expected) => {
    const scene = new Scene()
    expect(answer(() => scene.clients[0]!.roster(change(scene.roster)))).toEqual(expected)
    expect(scene.clients[0]!.waitsFor).toBe('nothing')
  })

  /** An entry that its member signed, with keys that it should not have. */
  function signedWith(name: number, keys: { mask?: Uint8Array; channel?: Uint8Array }): Advertisement {
    const { secrets } = { secrets: memberSecrets(name) }
    const s = keys.mask === undefined ? secrets.s : { ...secrets.s, publicKey: keys.mask }
    const c = keys.channel === undefined ? secrets.c : { ...secrets.c, publicKey: keys.channel }
    return member(name, N, ROUND, VALUES, { init: { secrets: { ...secrets, s, c } } }).advertisement
  }
  const memberSecrets = (name: number): { s: Pair; c: Pair; b: Uint8Array; nonce: Uint8Array } => ({
    s: pair(`s ${name}`),
    c: pair(`c ${name}`),
    b: hash(`b ${name}`),
    nonce: hash(`nonce ${name}`).subarray(0, 16),
  })
  interface Pair {
    readonly secret: Uint8Array
    readonly publicKey: Uint8Array
  }
  const pair = (label: string): Pair => ({
    secret: hash(label),
    publicKey: new Uint8Array(crypto.x25519Public(hash(label))),
  })

  test('with a copied key, or one of small order, is refused and names its owner', () => {
    const order = names(N)
    for (const field of ['mask', 'channel'] as const) {
      const scene = new Scene()
      const copied = signedWith(order[3]!, { [field]: scene.roster[1]!.maskKey })
      const twice = changed(scene.roster, 3, copied)
      expect(answer(() => scene.clients[0]!.roster(twice))).toEqual({ kind: 'duplicate-key', party: 1 })
      const weak = changed(scene.roster, 2, signedWith(order[2]!, { [field]: new Uint8Array(32) }))
      expect(answer(() => scene.clients[1]!.roster(weak))).toEqual({ kind: 'weak-key', party: 2 })
    }
  })

  test.each<[string, Partial<RoundHeader>]>([
    ['another model', { model: hash('another model') }],
    ['another plan', { plan: hash('another plan') }],
    ['another round', { round: 4 }],
    ['another threshold', { t: 4 }],
    ['another scale', { f: 15 }],
    ['another federation', { federation: 'hospital' }],
  ])('of members that see %s is refused: nobody is masked against another model', (_, change) => {
    const mine = new Scene()
    const theirs = new Scene({ ...ROUND, ...change })
    const mixed = mine.roster.map((entry, place) => (place < 3 ? entry : theirs.roster[place]!))
    expect(answer(() => mine.clients[0]!.roster(mixed))).toEqual({ kind: 'bad-signature', party: 3 })
    // The control: an aggregator that checks no signatures would be answered by those who see one model.
    expect(answer(() => mine.clients[1]!.roster(mine.roster))).toBe('answered')
  })
})

describe('sealed shares', () => {
  const cases: readonly [string, (list: readonly SealedShares[]) => SealedShares[], Refusal][] = [
    ['of one sender twice', (list) => [...list, list[1]!], { kind: 'survivors', party: 2 }],
    ['of myself', (list) => [...list, { position: 0, data: list[0]!.data }], { kind: 'survivors', party: 0 }],
    ['of nobody', (list) => [...list, { position: 9, data: list[0]!.data }], { kind: 'survivors', party: 9 }],
    [
      'that were changed',
      (list) => changed(list, 2, { data: flipped(list[2]!.data) }),
      { kind: 'ciphertext', party: 3 },
    ],
    [
      'that were cut',
      (list) => changed(list, 2, { data: list[2]!.data.subarray(0, 9) }),
      { kind: 'ciphertext', party: 3 },
    ],
    ["in another sender's name", (list) => changed(list, 2, { data: list[1]!.data }), { kind: 'ciphertext', party: 3 }],
    ['of one other', (list) => list.slice(0, 1), { kind: 'threshold', party: undefined }],
  ]
  test.each(cases)('%s are refused, and no vector is sent', (_, change, expected) => {
    const scene = new Scene()
    const sealed = scene.shared()
    expect(answer(() => scene.clients[0]!.ciphertexts(change(sealed.get(0)!)))).toEqual(expected)
  })

  test('for another holder do not open', () => {
    const scene = new Scene()
    const sealed = scene.shared()
    const foreign = sealed.get(1)!.find(({ position }) => position === 2)!
    const list = sealed.get(0)!.map((one) => (one.position === 2 ? foreign : one))
    expect(answer(() => scene.clients[0]!.ciphertexts(list))).toEqual({ kind: 'ciphertext', party: 2 })
  })
})

describe('survivors', () => {
  const cases: readonly [string, (list: readonly Survivor[]) => Survivor[], Refusal][] = [
    ['twice the same', (list) => [...list, list[3]!], { kind: 'survivors', party: 3 }],
    ['somebody unknown', (list) => [...list, { ...list[3]!, position: 7 }], { kind: 'survivors', party: 7 }],
    ['without me', (list) => without(list, 0), { kind: 'survivors', party: 0 }],
    ['my digest changed', (list) => changed(list, 0, { digest: hash('x') }), { kind: 'survivors', party: 0 }],
    [
      "another's digest changed",
      (list) => changed(list, 2, { digest: hash('x') }),
      { kind: 'bad-signature', party: 2 },
    ],
    [
      'a signature for another place',
      (list) => changed(list, 2, { ...list[3]!, position: 2 }),
      { kind: 'bad-signature', party: 2 },
    ],
    ['two of five', (list) => list.slice(0, 2), { kind: 'threshold', party: undefined }],
  ]
  test.each(cases)('%s: refused, nothing is signed', (_, change, expected) => {
    const scene = new Scene()
    const list = scene.masked()
    expect(answer(() => scene.clients[0]!.survivors(change(list)))).toEqual(expected)
    expect(scene.clients[0]!.waitsFor).toBe('nothing')
  })

  test('somebody who shared no keys: refused', () => {
    const [scene, other] = [new Scene(), new Scene()]
    const list = scene.masked([4])
    const extra = other.masked()[4]!
    expect(answer(() => scene.clients[0]!.survivors([...list, extra]))).toEqual({ kind: 'survivors', party: 4 })
  })

  test('with too few records together: refused, though they are enough members', () => {
    const [few, enough] = [12, 13].map((records) => new Scene(ROUND, () => ({ records, minimumRecords: 64 })))
    expect(answer(() => few!.clients[0]!.survivors(few!.masked()))).toMatchObject({ kind: 'min-records' })
    expect(answer(() => enough!.clients[0]!.survivors(enough!.masked()))).toBe('answered')
  })
})

describe('signatures over the survivors', () => {
  const cases: readonly [string, (list: readonly Consistency[]) => Consistency[], Refusal][] = [
    ['one twice', (list) => [...list, list[2]!], { kind: 'survivors', party: 2 }],
    ['of nobody', (list) => [...list, { ...list[2]!, position: 8 }], { kind: 'survivors', party: 8 }],
    [
      'one forged',
      (list) => changed(list, 2, { signature: flipped(list[2]!.signature) }),
      { kind: 'bad-signature', party: 2 },
    ],
    ["another's", (list) => changed(list, 2, { signature: list[1]!.signature }), { kind: 'bad-signature', party: 2 }],
    ['too few', (list) => list.slice(0, 2), { kind: 'threshold', party: undefined }],
  ]
  test.each(cases)('%s: refused, no share leaves', (_, change, expected) => {
    const scene = new Scene()
    const ballots = scene.signed(scene.masked())
    expect(answer(() => scene.clients[0]!.consistency(change(ballots)))).toEqual(expected)
  })
})

describe('the order of messages', () => {
  test('is kept: one of an earlier stage is a replay, one of a later stage is out of order', () => {
    const kinds = (action: (scene: Scene, client: SecureClient) => void): string => {
      const scene = new Scene()
      const refusal = answer(() => action(scene, scene.clients[0]!))
      return refusal === 'answered' ? refusal : refusal.kind
    }
    expect(kinds((_, client) => client.survivors([]))).toBe('order')
    expect(kinds((_, client) => client.consistency([]))).toBe('order')
    expect(kinds((_, client) => client.ciphertexts([]))).toBe('order')
    expect(
      kinds((scene, client) => {
        scene.shared()
        client.roster(scene.roster)
      }),
    ).toBe('replay')
    expect(
      kinds((scene, client) => {
        const list = scene.masked()
        client.survivors(list)
        client.survivors(list)
      }),
    ).toBe('replay')
    expect(
      kinds((scene, client) => {
        const ballots = scene.signed(scene.masked())
        client.consistency(ballots)
        client.consistency(ballots)
      }),
    ).toBe('replay')
  })

  test('has a vector read to its end before anything comes after it', () => {
    const scene = new Scene()
    const sealed = scene.shared()
    const vector = scene.clients[0]!.ciphertexts(sealed.get(0)!)
    vector.next()
    expect(answer(() => scene.clients[0]!.survivors([]))).toMatchObject({ kind: 'order' })
    expect(answer(() => vector.next())).toMatchObject({ kind: 'order' })
  })

  test('ends with the first violation: nothing is answered after it, and the secrets are gone', () => {
    const scene = new Scene()
    const sealed = scene.shared()
    const list = sealed.get(0)!
    expect(answer(() => scene.clients[0]!.ciphertexts([...list, list[0]!]))).toMatchObject({ kind: 'survivors' })
    expect(answer(() => scene.clients[0]!.ciphertexts(list))).toMatchObject({ kind: 'replay' })
  })
})

describe('E17, two sets of survivors', () => {
  test('without the signatures the difference of two sums is one vector; with them nobody sends a share', () => {
    const scene = new Scene()
    const all = scene.masked()
    const fewer = without(all, 4)
    const told = [all, all, fewer, fewer, all]
    const ballots = told.map((list, position) => scene.clients[position]!.survivors(list))
    // Each half would need t signatures over its own set, and nobody signs two.
    for (const position of [0, 1, 2, 3]) {
      const refusal = answer(() => scene.clients[position]!.consistency(ballots.slice(0, 4)))
      expect(refusal).toMatchObject({ kind: 'bad-signature' })
    }
  })

  test('the control: were two sets signed, both shares of the one between them would be out', () => {
    // Two runs of the same secrets stand for members that forget what they signed.
    const [one, two] = [new Scene(), new Scene()]
    const reveal = (scene: Scene, list: readonly Survivor[]): string[] => {
      const ballots = scene.signed(list)
      return ballots.map(({ position }) => scene.clients[position]!.consistency(ballots).get(4)!.kind)
    }
    const kinds = new Set([...reveal(one, one.masked()), ...reveal(two, without(two.masked(), 4))])
    expect(kinds).toEqual(new Set(['b', 's']))
  })

  test('a member that was started again signs no second set for the round', () => {
    const memory = volatileSignedRounds()
    const options = (position: number): MemberOptions => (position === 0 ? { signedRounds: memory } : {})
    const before = new Scene(ROUND, options)
    const list = before.masked()
    expect(answer(() => before.clients[0]!.survivors(list))).toBe('answered')
    const after = new Scene(ROUND, options)
    const again = after.masked()
    expect(answer(() => after.clients[0]!.survivors(without(again, 4)))).toMatchObject({ kind: 'replay' })
    const next = new Scene({ ...ROUND, round: 4 }, options)
    const fresh = next.masked()
    expect(answer(() => next.clients[0]!.survivors(fresh))).toBe('answered')
  })
})

describe('what leaves a member', () => {
  test('is one share of each peer, of the kind that its fate asks for', () => {
    const scene = new Scene()
    const survivors = without(scene.masked([4]), 3)
    const ballots = scene.signed(survivors)
    const reveal = scene.clients[0]!.consistency(ballots)
    expect([...reveal].map(([owner, { kind }]) => `${owner}${kind}`).sort()).toEqual(['0b', '1b', '2b', '3s'])
  })

  test('is a vector that looks like chance: chi-square over its bytes (E1b), and zero updates show when masks are off', () => {
    const d = 16_384
    const round = header({ d, t: 3 })
    const zeros = Array.from({ length: d }, () => 0)
    const clients = names(3).map((name) => member(name, 3, round, zeros, { members: names(3).map(identityOf) }))
    const roster = clients.map(({ advertisement }) => advertisement)
    const shares = clients.map((client) => client.roster(roster))
    const to0 = shares.flatMap(({ index, sealed }) =>
      sealed.filter(({ position }) => position === 0).map(({ data }) => ({ position: index, data })),
    )
    const { packed } = readOut(clients[0]!.ciphertexts(to0))
    const statistic = (bytes: Uint8Array): number => {
      const counts = Array.from({ length: 256 }, () => 0)
      for (const byte of bytes) counts[byte]!++
      const expected = bytes.length / 256
      return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    }
    // 255 degrees of freedom: 347 has probability 1e-4, and the bytes follow from fixed seeds.
    expect(statistic(packed)).toBeLessThan(347)
    expect(statistic(new Uint8Array(packed.length))).toBeGreaterThan(1e6)
  })

  test('is nothing when the update cannot be encoded', () => {
    const scene = new Scene()
    scene.shared()
    const bad = member(names(N)[0]!, N, ROUND, [0, 0, 2 ** 20, 0, 0])
    bad.roster(scene.roster)
    const other = new Scene()
    const list = other.shared().get(0)!
    expect(answer(() => readOut(bad.ciphertexts(list)))).toMatchObject({ kind: 'out-of-range' })
    expect(bad.waitsFor).toBe('nothing')
  })

  test('needs a plan that hides: sizes are refused before a key is shown', () => {
    const build = (change: Partial<RoundHeader>, values = VALUES): Refusal =>
      answer(() => member(0, N, header(change), values))
    expect(build({ t: 2 })).toMatchObject({ kind: 'threshold' })
    expect(build({ bits: 20 })).toMatchObject({ kind: 'modulus' })
    expect(build({ d: 0 }, [])).toMatchObject({ kind: 'empty' })
    expect(build({ d: 6 })).toMatchObject({ kind: 'length' })
    expect(seedOf(0)).toHaveLength(32)
  })
})
