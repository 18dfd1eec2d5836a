import { KINDS } from './kinds/ledger.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite('ledger', KINDS)
