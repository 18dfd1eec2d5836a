import { KINDS } from './kinds/invites.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite('invites', KINDS)
