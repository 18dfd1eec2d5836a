/** `secagg`: rounds of secure aggregation with all secrets known, one member against a script, an auditor. */
import { auditCase } from './secagg-audit.ts'
import { clientCase } from './secagg-client.ts'
import { sessionCase } from './secagg-session.ts'
import { Refusal } from './suite.ts'
import type { Suite } from './suite.ts'

export const secaggSuite: Suite = () => (input) => {
  const op = input['op'] ?? 'session'
  if (op === 'session') return sessionCase(input)
  if (op === 'client') return clientCase(input)
  if (op === 'audit') return auditCase(input)
  throw new Refusal('malformed', '"op" is none of session, client, audit')
}
