/** Bans for a time: who gets one, for how long, and who never does. */
import { createConnection } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createDefence, frame, FrameError, OFFENCES, STREAMS_A_MINUTE } from '../../src/net/index.ts'
import type { Ban, Defence, Network } from '../../src/net/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import type { Identity } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import { connectedIds, joined, networkPool, until } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

function offend(defence: Defence, times: number): Ban | undefined {
  let ban: Ban | undefined
  for (let time = 0; time < times; time++) ban = defence.offend('peer:x', 'malformed')
  return ban
}

describe('a ban', () => {
  test('comes with one offence too many within a minute, has a reason and an end, and ends', async () => {
    const clock = virtualClock()
    const told: Ban[] = []
    const defence = createDefence({ clock, told: (ban) => told.push(ban) })
    expect(offend(defence, OFFENCES.malformed.most)).toBeUndefined()
    await clock.advance(60_000)
    expect(offend(defence, OFFENCES.malformed.most)).toBeUndefined()
    const ban = offend(defence, 1)
    expect(ban).toMatchObject({ subject: 'peer:x', offence: 'malformed', until: clock.wall() + 300_000 })
    expect(told).toEqual([ban])
    expect(defence.bans()).toEqual([ban])
    // A wrong date frees nobody and keeps nobody in.
    clock.setWall(clock.wall() + 1e12)
    expect(defence.banned('peer:x')).toEqual(ban)
    await clock.advance(300_000)
    expect(defence.banned('peer:x')).toBeUndefined()
    expect(defence.bans()).toEqual([])
  })

  test('is twice as long the second time, a day at most, and can be lifted', async () => {
    const clock = virtualClock()
    const defence = createDefence({ clock, told: () => undefined })
    const lengths: number[] = []
    for (let time = 0; time < 12; time++) {
      const { since, until: end } = offend(defence, OFFENCES.malformed.most + 1)!
      lengths.push((end - since) / 60_000)
      await clock.advance(end - since)
    }
    expect(lengths.slice(0, 4)).toEqual([5, 10, 20, 40])
    expect(lengths.at(-1)).toBe(1_440)
    offend(defence, OFFENCES.malformed.most + 1)
    expect([defence.lift('peer:x'), defence.lift('peer:x')]).toEqual([true, false])
    expect(defence.banned('peer:x')).toBeUndefined()
  })

  test('keeps its memory small whatever names are made up, and others apart', () => {
    const defence = createDefence({ clock: virtualClock(), told: () => undefined })
    for (let index = 0; index < 20_000; index++) {
      for (let time = 0; time < 10; time++) defence.offend(`peer:${index}`, 'malformed')
    }
    expect(defence.bans().length).toBe(1_024)
    expect(defence.banned('peer:honest')).toBeUndefined()
  })

  test('quotas are a peer’s and a purpose’s own', () => {
    const defence = createDefence({ clock: virtualClock(), told: () => undefined })
    for (let index = 0; index < STREAMS_A_MINUTE; index++) expect(defence.allows('a', 'fetch')).toBe(true)
    expect([defence.allows('a', 'fetch'), defence.allows('a', 'compute'), defence.allows('b', 'fetch')]).toEqual([
      false,
      true,
      true,
    ])
  })
})

describe('an admin of the cluster', () => {
  const watched = (isAdmin: (peer: string) => boolean) => {
    const clock = virtualClock()
    const [told, spared]: [Ban[], string[]] = [[], []]
    const counted: string[] = []
    const defence = createDefence({
      clock,
      told: (ban) => void told.push(ban),
      spares: isAdmin,
      spared: (subject, offence) => void spared.push(`${subject} ${offence}`),
      telemetry: { count: (name) => void counted.push(name) },
    })
    return { clock, told, spared, counted, defence }
  }

  test('is not banned for anything that is counted, which is told; who is none is', () => {
    const { told, spared, counted, defence } = watched((peer) => peer === 'x')
    expect(offend(defence, 3 * (OFFENCES.malformed.most + 1))).toBeUndefined()
    expect([defence.banned('peer:x'), told]).toEqual([undefined, []])
    expect(spared).toEqual(Array.from({ length: 3 }, () => 'peer:x malformed'))
    expect(counted).toEqual(['bans_spared', 'bans_spared', 'bans_spared'])
    for (let time = 0; time <= OFFENCES.malformed.most; time++) defence.offend('peer:y', 'malformed')
    expect(defence.banned('peer:y')).toMatchObject({ offence: 'malformed' })
    // its quotas are those of everybody
    for (let index = 0; index < STREAMS_A_MINUTE; index++) defence.allows('x', 'fetch')
    expect(defence.allows('x', 'fetch')).toBe(false)
  })

  test('that was banned before it became one is let in, and who is none any more is not spared', () => {
    let admin = ''
    const { defence } = watched((peer) => peer === admin)
    offend(defence, OFFENCES.malformed.most + 1)
    expect(defence.banned('peer:x')).toMatchObject({ offence: 'malformed' })
    admin = 'x'
    expect([defence.banned('peer:x'), defence.bans()]).toEqual([undefined, []])
    admin = 'z'
    expect(defence.banned('peer:x')).toMatchObject({ offence: 'malformed' })
  })

  test('keeps the host where it is, or was within a day, from being shut out', async () => {
    const { clock, defence, spared } = watched((peer) => peer === 'x')
    const storm = (host: string): void => {
      for (let time = 0; time <= OFFENCES['dial-storm'].most; time++) defence.offend(`host:${host}`, 'dial-storm')
    }
    defence.proven('x', '10.0.0.1')
    defence.proven('y', '10.0.0.2')
    storm('10.0.0.1')
    storm('10.0.0.2')
    expect(['10.0.0.1', '10.0.0.2'].map((host) => defence.banned(`host:${host}`) === undefined)).toEqual([true, false])
    expect(spared).toEqual(['host:10.0.0.1 dial-storm'])
    await clock.advance(24 * 3_600_000)
    storm('10.0.0.1')
    expect(defence.banned('host:10.0.0.1')).toMatchObject({ offence: 'dial-storm' })
  })
})

test('a host where a member is, or was within a day, is not shut out for its neighbours; the member itself may be', async () => {
  const clock = virtualClock()
  let member = 'y'
  const defence = createDefence({ clock, told: () => undefined, houses: (peer) => peer === member })
  const storm = (): unknown => {
    for (let time = 0; time <= OFFENCES['dial-storm'].most; time++) defence.offend('host:10.0.0.2', 'dial-storm')
    return defence.banned('host:10.0.0.2')?.offence
  }
  defence.proven('y', '10.0.0.2')
  expect(storm()).toBeUndefined()
  for (let time = 0; time <= OFFENCES.malformed.most; time++) defence.offend('peer:y', 'malformed')
  expect(defence.banned('peer:y')).toMatchObject({ offence: 'malformed' })
  // it was removed: its host is one like any other
  member = ''
  await clock.advance(60_000)
  expect(storm()).toBe('dial-storm')
})

describe('a network with a defence', () => {
  const watched = (): { defence: Defence; told: Ban[] } => {
    const told: Ban[] = []
    return { told, defence: createDefence({ clock: systemClock(), told: (ban) => void told.push(ban) }) }
  }
  const portOf = (one: Network): number => Number(/\/tcp\/(\d+)/.exec(one.addresses()[0]!)![1])

  test('shuts out a peer that sends garbage, for a while and by name, and keeps the others', async () => {
    const { defence, told } = watched()
    const a = await pool.add({ defence })
    const [bad, good] = [
      await pool.add({ bootstrap: [a.addresses()[0]!] }),
      await pool.add({ bootstrap: [a.addresses()[0]!] }),
    ]
    await joined(a, bad)
    await joined(a, good)
    a.handle('/weft/test/1', 'compute', (channel) =>
      channel.onFrame(() => {
        throw new FrameError('magic', 'it is none')
      }),
    )
    for (let time = 0; time < 40 && told.length === 0; time++) {
      const channel = await bad.open(a.id, '/weft/test/1').catch(() => undefined)
      await channel?.send(frame({ type: 1 })).catch(() => undefined)
      await channel?.closed
    }
    expect(told).toMatchObject([{ subject: `peer:${bad.id}`, offence: 'malformed' }])
    await until(() => !connectedIds(a).includes(bad.id))
    await until(() => bad.refusals().some(({ code }) => code === 'WEFT-DSC-012') || !connectedIds(bad).includes(a.id))
    expect(connectedIds(a)).toContain(good.id)
    expect(defence.banned(`peer:${good.id}`)).toBeUndefined()
  })

  test('ends all that a peer has open when a ban of it begins, whatever it is for, and lets it back in afterwards', async () => {
    const { defence } = watched()
    const a = await pool.add({ defence })
    const [bad, good] = [
      await pool.add({ bootstrap: [a.addresses()[0]!] }),
      await pool.add({ bootstrap: [a.addresses()[0]!] }),
    ]
    await joined(a, bad)
    await joined(a, good)
    a.handle('/weft/test/1', 'compute', (channel) => channel.onFrame((got) => channel.send(got)))
    const open = async (one: Network) => [
      await one.open(a.id, '/weft/test/1'),
      await one.openLane(a.id, '/weft/test/1'),
    ]
    const [ofBad, ofGood] = [await open(bad), await open(good)]
    // by another room: what it asks for is looked at there, not at its streams
    while (defence.banned(`peer:${bad.id}`) === undefined) defence.offend(`peer:${bad.id}`, 'probing')
    expect(connectedIds(a)).not.toContain(bad.id)
    for (const channel of ofBad) await channel.closed
    expect(connectedIds(a)).toContain(good.id)
    await ofGood[0]!.send(frame({ type: 1 }))
    defence.lift(`peer:${bad.id}`)
    await joined(a, bad)
  })

  test('keeps an admin that sends garbage, from a host that storms the door, to its limits and in; a member it shuts out', async () => {
    const [admin, told]: [Identity, Ban[]] = [newIdentity(), []]
    const spares = (peer: string): boolean => peer === admin.id
    const defence = createDefence({ clock: systemClock(), told: (ban) => void told.push(ban), spares })
    const a = await pool.add({ defence })
    const bootstrap = [a.addresses()[0]!]
    const [last, member] = [await pool.add({ bootstrap, identity: admin }), await pool.add({ bootstrap })]
    await joined(a, last)
    await joined(a, member)
    a.handle('/weft/test/1', 'compute', (channel) =>
      channel.onFrame(() => {
        throw new FrameError('magic', 'it is none')
      }),
    )
    for (const one of [last, member])
      for (let time = 0; time < 2 * OFFENCES.malformed.most; time++) {
        const channel = await one.open(a.id, '/weft/test/1').catch(() => undefined)
        await channel?.send(frame({ type: 1 })).catch(() => undefined)
        await channel?.closed
      }
    expect(told).toMatchObject([{ subject: `peer:${member.id}` }])
    expect(connectedIds(a)).toEqual([admin.id])
    for (let time = 0; time <= OFFENCES['dial-storm'].most + 60; time++) await knock(portOf(a))
    expect(told).toHaveLength(1)
    // the second time: it has gone, and comes again from that host
    await last.stop()
    await until(() => connectedIds(a).length === 0)
    const again = await pool.add({ bootstrap, identity: admin })
    await joined(a, again)
  })

  test('does not take a member for a scanner that its role refuses something, and does one that is none', async () => {
    const { defence } = watched()
    let isMember = true
    const a = await pool.add({
      defence,
      membership: { epoch: 0, isRemoved: () => false, admits: (_peer, purpose) => isMember && purpose === 'connect' },
    })
    const guest = await pool.add({ bootstrap: [a.addresses()[0]!] })
    await joined(a, guest)
    a.handle('/weft/test/1', 'place', () => undefined)
    const ask = async (): Promise<void> => {
      for (let time = 0; time <= OFFENCES.scan.most; time++)
        await guest.open(a.id, '/weft/test/1').then(
          (channel) => channel.closed,
          () => undefined,
        )
    }
    await ask()
    expect(defence.bans()).toEqual([])
    expect(connectedIds(a)).toContain(guest.id)
    isMember = false
    await ask()
    expect(defence.bans()).toMatchObject([{ subject: `peer:${guest.id}`, offence: 'scan' }])
  })

  test('shuts out a host that storms the door, and the control without a defence does not', async () => {
    const { defence, told } = watched()
    const [a, control] = [await pool.add({ defence }), await pool.add({})]
    for (let time = 0; time <= OFFENCES['dial-storm'].most + 60 && told.length === 0; time++) await knock(portOf(a))
    expect(told).toMatchObject([{ offence: 'dial-storm', subject: expect.stringContaining('host:') as string }])
    for (let time = 0; time < 10; time++) await knock(portOf(control))
    const late = await pool.add({ bootstrap: [control.addresses()[0]!] })
    await joined(control, late)
  })
})

/** Connects, says nothing that proves anything, and goes. */
function knock(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    socket.on('error', () => resolve())
    socket.on('connect', () => setTimeout(() => socket.destroy(), 5))
    socket.on('close', () => resolve())
  })
}
