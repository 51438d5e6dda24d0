"""What one peer may cost us; each bound with its reason. Bounds that an operator may want to move are settings."""

MIB = 1024 * 1024

# --- lengths, checked before anything of that length is read or made
MAXIMUM_PDU = 128 * 1024  # announced to peers; larger ones bring no speed, smaller ones cost a loop each
PDU_SLACK = 1024  # some senders count the header of the PDU or of its items in, some do not
REQUEST_PDU = 128 * 1024  # an association request with 128 contexts of all transfer syntaxes needs about 90 KiB
COMMAND_SET = 16 * 1024  # bytes; the longest command of PS3.7 needs about 600, an Error Comment included
COMMAND_ELEMENTS = 64  # PS3.7 table E.1-1 knows about 30 that are not retired
PRESENTATION_CONTEXTS = 128  # their identifiers are the odd numbers from 1 to 255 (PS3.8 section 9.3.2.2)
TRANSFER_SYNTAXES_PER_CONTEXT = 256  # the Standard defines about 70
USER_ITEMS = 512  # role selection and extended negotiation come once for each SOP Class
UNSERVED_DATA_SET = 16 * MIB  # of an operation that we do not perform; it is read past and answered
SMALL_DATA_SET = MIB  # of requests for and reports of storage commitment, and of notifications of availability
COMMITMENT_REFERENCES = 5_000  # instances in one request; each is read whole before it is committed to

# --- times, in seconds; all are absolute, so that no trickle of bytes puts them off
HANDSHAKE_DEADLINE = 5.0  # of TLS
REQUEST_DEADLINE = 10.0  # from the connection to the end of the association request
PDU_DEADLINE = 30.0  # from the first byte of a PDU to its last
IDLE_DEADLINE = 60.0  # between messages, and within one between PDUs
CLOSE_DEADLINE = 5.0  # for the peer to close after the association has ended
SEND_DEADLINE = 30  # a peer that does not read its answers must not hold a thread
MESSAGE_GRACE = 60.0  # a message may take this long and then has to keep up the rate below
MINIMUM_RATE = 16 * 1024  # bytes a second, on average over a message
TICK = 0.5  # how often who waits looks whether it is to stop

# --- counts
PENDING_PER_ADDRESS = 64  # connections of one address without an accepted request; a further one ends the oldest
PENDING = 256  # the same of all addresses, in each process
OUTSTANDING_OPERATIONS = 32  # that a peer may have begun before we answer the first (PS3.7 section D.3.3.3)
