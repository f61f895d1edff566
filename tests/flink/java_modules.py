"""What Flink's own start scripts pass to Java 17 and newer."""

JAVA_MODULES = [
    *(
        f"--add-exports={package}=ALL-UNNAMED"
        for package in [
            "java.base/sun.net.util",
            "java.rmi/sun.rmi.registry",
            "java.security.jgss/sun.security.krb5",
        ]
    ),
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in [
            "java.lang",
            "java.net",
            "java.io",
            "java.nio",
            "sun.nio.ch",
            "java.lang.reflect",
            "java.text",
            "java.time",
            "java.util",
            "java.util.concurrent",
            "java.util.concurrent.atomic",
            "java.util.concurrent.locks",
        ]
    ),
]
