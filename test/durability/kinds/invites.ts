/** Invites and what is redeemed with them: a use is taken once, and by the one who is let in. */
import { join } from 'node:path'
import { openClusterHome, openInviteBook } from '../../../src/trust/index.ts'
import type { Asked, InviteBook, InviteInit, OpenedCluster } from '../../../src/trust/index.ts'
import type { RandomSource } from '../../../src/util/index.ts'
import type { Kind, Step } from '../kind.ts'
import { foundFor, identityNumber, needs, shownCluster } from './membership.ts'

const NOW = 1_700_000_000_000
const INIT: InviteInit = { role: 'member', site: '', expires: NOW + 1_000, uses: 1, approve: false }
/** That of the invite which is there from the beginning, and its secret. */
const [ID, SECRET] = ['01'.repeat(8), new Uint8Array(16).fill(2)]
const [FIRST, SECOND, THIRD] = [11, 12, 13].map((number) => identityNumber(number).id) as [string, string, string]

/** The first invite is the one above, in every process. */
function counting(): RandomSource {
  let next = 1
  return { ...needs.random, bytes: (count: number) => new Uint8Array(count).fill(next++) }
}

function asked(peer: string, standing: Asked['standing'] = 'new'): Parameters<InviteBook['redeem']>[0] {
  return { id: ID, secret: SECRET, peer, name: '', now: NOW, standing }
}

/** The code of a refusal; undefined: there was none. */
function codeOf(action: () => unknown): string | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? 'none'
  }
}

/** Without ids, which differ from run to run. */
function shownBook(book: InviteBook): unknown {
  return {
    invites: book
      .list()
      .map(({ uses, left, expires, role, approve, used_by: by }) => [uses, left, expires, role, approve, by.length]),
    first: book.list().find(({ id }) => id === ID)?.used_by ?? 'gone',
    waiting: book.waiting().map(({ peer }) => peer.slice(-6)),
  }
}

const invites: Kind = {
  name: 'invites',
  prepare(home) {
    const book = openInviteBook(join(home, 'invites.sqlite'), counting())
    book.create({ ...INIT, uses: 2 }, NOW)
    book.close()
  },
  open(home) {
    const book = openInviteBook(join(home, 'invites.sqlite'), needs.random)
    const add = (uses: number, approve: boolean): Step => ({
      name: `create for ${uses}`,
      run: () =>
        book.list().some((one) => one.approve === approve && one.uses === uses)
          ? undefined
          : book.create({ ...INIT, uses, approve }, NOW + uses),
    })
    const redeem = (name: string, peer: string): Step => ({ name, run: () => book.redeem(asked(peer)) })
    return {
      steps: [
        add(3, true),
        redeem('redeem', FIRST),
        redeem('redeem again', FIRST),
        redeem('redeem by another', SECOND),
        {
          name: 'one too many',
          run() {
            if (codeOf(() => book.redeem(asked(THIRD))) !== 'WEFT-TRU-153')
              throw new Error('three have got in by two uses')
          },
        },
        {
          name: 'remove',
          run: () => (book.list().some(({ id }) => id === ID) ? book.remove(ID) : undefined),
        },
      ],
      state: () => shownBook(book),
      close: () => book.close(),
    }
  },
}

/** As the admin of a mesh does it: a use is taken, then the peer is let in. */
function enrol({ cluster, invites: book }: OpenedCluster, peer: string): void {
  const isMember = cluster.member(peer) !== undefined
  const { role, site } = book.redeem(asked(peer, isMember ? 'member' : 'new'))
  if (!isMember) cluster.admit({ peer, name: '', role, site })
}

function shownEnrolment(opened: OpenedCluster): unknown {
  const isTaken = opened.invites.list().some(({ left }) => left === 0)
  const isMember = opened.cluster.member(FIRST) !== undefined
  if (isMember && !isTaken) throw new Error('a member whose use was not taken')
  return shownCluster(opened)
}

const enrolment: Kind = {
  name: 'enrolment',
  async prepare(home) {
    const opened = await foundFor(home)
    opened.close()
    const book = openInviteBook(join(home, 'cluster', 'invites.sqlite'), counting())
    book.create(INIT, NOW)
    book.close()
  },
  async open(home) {
    const opened = await openClusterHome(needs, home)
    return {
      steps: [{ name: 'enrol', run: () => enrol(opened, FIRST) }],
      state: () => shownEnrolment(opened),
      close: () => opened.close(),
    }
  },
  /** Where the use is taken and nobody was let in, the one who took it comes again; somebody else with the same secret does not get in. */
  async read(home) {
    const opened = await openClusterHome(needs, home)
    try {
      const isTaken = opened.invites.list().some(({ left }) => left === 0)
      if (isTaken) {
        if (codeOf(() => enrol(opened, SECOND)) !== 'WEFT-TRU-153') throw new Error('two have got in by one use')
        enrol(opened, FIRST)
      }
      return shownEnrolment(opened)
    } finally {
      opened.close()
    }
  },
}

export const KINDS: readonly Kind[] = [invites, enrolment]
