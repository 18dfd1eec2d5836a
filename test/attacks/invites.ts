/** E5: an invite that many hand in at once, that is handed in again, late, by a thief, or of another cluster. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { enrol } from '../../src/mesh/index.ts'
import { newIdentity, openInviteBook } from '../../src/trust/index.ts'
import type { InviteBook, InviteInit, InviteToken } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { members, run } from '../mesh/support/members.ts'
import { found, random } from '../trust/support/cluster.ts'
import { least, most } from './attack.ts'
import type { Attack, Outcome, Size } from './attack.ts'

const BEARER: InviteInit = { role: 'member', site: '', uses: 4_096, approve: false, expires: Number.MAX_SAFE_INTEGER }

interface Tried {
  readonly raced: number
  readonly replayed: number
  readonly late: number
  readonly stolen: number
  readonly foreign: number
}

async function attempt(isDefended: boolean, racers: number): Promise<Tried> {
  const { cluster, founder } = members(0)
  const folder = await mkdtemp(join(tmpdir(), 'weft-attack-'))
  const open = (): InviteBook => openInviteBook(join(folder, 'invites.sqlite'), random)
  let book = open()
  const start = (): ReturnType<typeof run> => run(cluster, founder, { invites: book })
  let admin = await start()
  const made = (defence: Partial<InviteInit>): InviteToken => {
    const { invite, secret } = book.create({ ...BEARER, ...(isDefended ? defence : {}) }, Date.now())
    return { cluster: cluster.id, invite: invite.id, secret, addresses: [admin.address] }
  }
  const joins = async (tokens: readonly InviteToken[]): Promise<number> => {
    const needs = () => ({ identity: newIdentity(), random, clock: systemClock() })
    const ends = await Promise.allSettled(tokens.map((token) => enrol(needs(), { token, name: '' })))
    return ends.filter(({ status }) => status === 'fulfilled').length
  }
  try {
    const token = made({ uses: 1 })
    const raced = await joins(Array.from({ length: racers }, () => token))
    await admin.stop()
    book.close()
    book = open()
    admin = await start()
    const here = (one: InviteToken): InviteToken => ({ ...one, addresses: [admin.address] })
    return {
      raced,
      replayed: await joins([here(token)]),
      late: await joins([made({ expires: Date.now() - 1 })]),
      stolen: await joins([made({ peer: newIdentity().id })]),
      foreign: await joins([{ ...made({}), ...(isDefended ? { cluster: found().cluster.id } : {}) }]),
    }
  } finally {
    await admin.stop()
    book.close()
    await rm(folder, { recursive: true, force: true })
  }
}

const racersOf = (size: Size): number => (size === 'few' ? 5 : 100)

export const invites: Attack = {
  id: 'E5',
  name: 'an invite in many hands, again, late, stolen, of another cluster',
  async control(size): Promise<readonly Outcome[]> {
    const { raced, replayed, late, stolen, foreign } = await attempt(false, racersOf(size))
    return [
      // the door lets in so many of one host at a time: twice is what a bearer's invite is
      least('joined by an invite without a count', raced, 2),
      least('joined by it again, after a restart', replayed, 1),
      least('joined by one that does not expire', late, 1),
      least('joined by one that is for anybody', stolen, 1),
      least('joined by one of this cluster', foreign, 1),
    ]
  },
  async defended(size): Promise<readonly Outcome[]> {
    const { raced, replayed, late, stolen, foreign } = await attempt(true, racersOf(size))
    return [
      least('joined of all who came at once', raced, 1),
      most('joined of all who came at once', raced, 1),
      most('joined by it again, after a restart', replayed, 0),
      most('joined by one that has expired', late, 0),
      most('joined by one that is for another', stolen, 0),
      most('joined by one of another cluster', foreign, 0),
    ]
  },
}
