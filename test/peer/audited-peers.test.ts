/** Which peers stand in the audit log: who joined and who was not let in; not who cannot be reached, for nobody has done anything then. */
import { expect, test } from 'vitest'
import { NotAdmittedError, PeerUnreachableError, RemovedPeerError } from '../../src/net/index.ts'
import type { Network, Refusal } from '../../src/net/index.ts'
import { auditPeers } from '../../src/peer/audited.ts'
import type { AuditEvent } from '../../src/trust/index.ts'

const refusal = (id: string, { info }: { readonly info: { readonly code: string } }): Refusal => ({
  id,
  address: '/ip4/192.0.2.7/tcp/1',
  code: info.code,
  why: '',
  hint: '',
  at: 0,
})

test('a peer that is off fills no log, however often it is dialled', () => {
  const written: AuditEvent[] = []
  let tell: ((refusal: Refusal) => void) | undefined
  const network = {
    connected: () => [],
    refusals: () => [refusal('off', PeerUnreachableError), refusal('stranger', NotAdmittedError)],
    on: (listeners: { refusedAgain?: (refusal: Refusal) => void }) => {
      tell = listeners.refusedAgain
      return () => undefined
    },
  } as Pick<Network, 'connected' | 'refusals' | 'on'> as Network
  auditPeers({ tally: (event) => void written.push(event) }, network)
  for (let n = 0; n < 3; n++) tell!(refusal('off', PeerUnreachableError))
  tell!(refusal('removed', RemovedPeerError))
  expect(written.map(({ who, what, target }) => [who, what, target])).toEqual([
    ['peer:stranger', 'peer.refused', NotAdmittedError.info.code],
    ['peer:removed', 'peer.refused', RemovedPeerError.info.code],
  ])
})
