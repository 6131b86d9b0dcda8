"""The calls of a made-up web shop, as its services would trace them: attributes of the stable semantic conventions."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampler.generate.model import Attributes

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Fault:
    """How a call fails: how often, and with which exception."""

    chance: float
    exception: str
    message: str


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of a service and the calls it makes.

    `own_ms` is the median of its own work. It runs `repeat` times (from, to) with probability `chance`. The calls of a
    `parallel` operation overlap, those of others follow each other. `protocol`: http, grpc (a client span in the
    caller and a server span in the callee), db (a client span only), queue (producer and consumer), local.
    """

    service: str
    name: str
    own_ms: float
    protocol: str = "local"
    calls: tuple[Call, ...] = ()
    chance: float = 1.0
    repeat: tuple[int, int] = (1, 1)
    parallel: bool = False
    attributes: Attributes = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    slow_chance: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that users (or machines) send to the shop, and its share of all requests."""

    weight: float
    root: Call
    attributes: Attributes = field(default_factory=dict)


_QUERY_TEXTS = {
    "SELECT": "SELECT * FROM {collection} WHERE id = ?",
    "INSERT": "INSERT INTO {collection} VALUES (?, ?, ?)",
    "UPDATE": "UPDATE {collection} SET quantity = quantity - ? WHERE sku = ?",
}


def _query(service: str, system: str, operation: str, collection: str, own_ms: float, **more: object) -> Call:
    text = _QUERY_TEXTS.get(operation, "{operation} {collection}:?").format(operation=operation, collection=collection)
    attributes = {
        "db.system.name": system,
        "db.operation.name": operation,
        "db.collection.name": collection,
        "db.query.text": text,
    }
    return Call(service, f"{operation} {collection}", own_ms, "db", attributes=attributes, **more)  # type: ignore[arg-type]


CATALOG_GET = Call(
    "catalog", "shop.Catalog/GetProduct", 2.0, "grpc",
    calls=(_query("catalog", "postgresql", "SELECT", "products", 1.5, slow_chance=0.002),),
)  # fmt: skip
CATALOG_LIST = Call(
    "catalog", "shop.Catalog/ListProducts", 4.0, "grpc",
    calls=(
        _query("catalog", "redis", "GET", "catalog-page", 0.4),
        _query("catalog", "postgresql", "SELECT", "products", 9.0, chance=0.25, slow_chance=0.01),
    ),
)  # fmt: skip
CURRENCY = Call("currency", "shop.Currency/Convert", 0.8, "grpc")
CART_GET = Call(
    "cart", "shop.Cart/GetCart", 1.2, "grpc", calls=(_query("cart", "redis", "HGETALL", "cart", 0.5),),
    faults=(Fault(0.002, "redis.exceptions.ConnectionError", "Connection reset by peer"),),
)  # fmt: skip
CART_ADD = Call("cart", "shop.Cart/AddItem", 1.5, "grpc", calls=(_query("cart", "redis", "HSET", "cart", 0.6),))
RECOMMEND = Call(
    "recommendation", "shop.Recommendation/List", 12.0, "grpc", calls=(CATALOG_LIST,), chance=0.9, slow_chance=0.01,
    faults=(Fault(0.01, "TimeoutError", "model server did not answer within 200 ms"),),
)  # fmt: skip
CHARGE = Call(
    "payment", "shop.Payment/Charge", 35.0, "grpc", slow_chance=0.03,
    calls=(
        Call("payment", "POST api.cards.example", 80.0, "local", attributes={
            "http.request.method": "POST", "server.address": "api.cards.example", "server.port": 443,
        }, faults=(
            Fault(0.03, "CardDeclinedError", "card declined: insufficient funds"),
            Fault(0.01, "TimeoutError", "card processor did not answer within 2000 ms"),
        )),
        _query("payment", "postgresql", "INSERT", "charges", 3.0),
    ),
)  # fmt: skip
SHIP = Call(
    "shipping", "shop.Shipping/ShipOrder", 6.0, "grpc",
    calls=(_query("shipping", "postgresql", "INSERT", "shipments", 3.0),),
)  # fmt: skip
CONFIRM = Call(
    "email", "orders process", 20.0, "queue",
    attributes={"messaging.system": "kafka", "messaging.destination.name": "orders"},
    calls=(Call("email", "render confirmation", 8.0),),
)  # fmt: skip
PLACE_ORDER = Call(
    "checkout", "shop.Checkout/PlaceOrder", 8.0, "grpc",
    calls=(
        CART_GET,
        Call("checkout", "prepare items", 2.0, calls=(
            Call(CATALOG_GET.service, CATALOG_GET.name, 2.0, "grpc", calls=CATALOG_GET.calls, repeat=(1, 6)),
            CURRENCY,
        )),
        _query("checkout", "postgresql", "UPDATE", "stock", 4.0, slow_chance=0.03, faults=(
            Fault(0.01, "psycopg.errors.DeadlockDetected", "deadlock detected"),
        )),
        CHARGE,
        SHIP,
        CONFIRM,
    ),
)  # fmt: skip


def _page(method: str, route: str, own_ms: float, *calls: Call, parallel: bool = False) -> Call:
    attributes = {"http.request.method": method, "http.route": route, "url.scheme": "https"}
    return Call("storefront", f"{method} {route}", own_ms, "http", calls, attributes=attributes, parallel=parallel)


ENTRIES = (
    Entry(30, _page("GET", "/", 6.0, CATALOG_LIST, CURRENCY, RECOMMEND, CART_GET, parallel=True)),
    Entry(34, _page("GET", "/product/{id}", 5.0, CATALOG_GET, CURRENCY, RECOMMEND, parallel=True)),
    Entry(12, _page("POST", "/cart", 4.0, CATALOG_GET, CART_ADD)),
    Entry(8, _page("GET", "/cart", 5.0, CART_GET, CURRENCY, SHIP, parallel=True)),
    Entry(6, _page("POST", "/checkout", 7.0, PLACE_ORDER)),
    Entry(10, _page("GET", "/healthz", 0.3)),
)
"""What is asked of the storefront."""

TIERS = {"free": 80, "gold": 15, "vip": 5}
"""`user.tier` of the root span and its share; health checks have none."""

LANGUAGES = {
    "storefront": "nodejs",
    "checkout": "go",
    "payment": "java",
    "cart": "dotnet",
    "catalog": "go",
    "currency": "cpp",
    "recommendation": "python",
    "shipping": "rust",
    "email": "ruby",
}
"""`telemetry.sdk.language` by service."""
